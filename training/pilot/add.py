"""Pilot sections, and how far ascents climb, measured for a bundle on disk and written into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from models.bundle import Bundle, load_bundle, save_bundle
from models.manifest import Manifest
from models.pilot import PilotSection
from training.data.dataset import DataError, Dataset
from training.errors import TrainingRefused
from training.evaluation.check import split_for_gate
from training.evaluation.report import require_weights
from training.extractor import load_extractor
from training.pilot.ascents import Climb, measure_climbs
from training.pilot.jbt import jbt_pilot
from training.pilot.simplicial import classifier_of, fitted_seeds, simplicial_pilot
from training.pipeline import check_samples_are_features, problem_of


def add_pilot(folder: Path, sections: Mapping[str, PilotSection]) -> Manifest:
    """Put ``sections`` (by their name in models.pilot.Pilot) into the bundle at ``folder``; others stay as they are."""
    bundle = load_bundle(folder)
    pilot = bundle.manifest.pilot.model_copy(update=dict(sections))
    return save_bundle(folder, bundle.manifest.model_copy(update={"pilot": pilot}), bundle.networks)


def measure_pilot(
    bundle: Bundle, seed: int, data: Dataset | None = None
) -> tuple[dict[str, PilotSection], dict[str, str]]:
    """The sections that ``bundle`` can have, and why it cannot have the others, both by name.

    ``data``: what a bundle without a classifier is told its classes by. Raises DataError where it has no labels.
    """
    if data is not None and data.labels is None:
        raise DataError(f"{data.name}: classes are read off labelled data; without labels leave --data out")
    sections: dict[str, PilotSection] = {}
    reasons: dict[str, str] = {}
    try:
        sections["jbt"] = jbt_pilot(bundle, seed)
    except TrainingRefused as refusal:
        reasons["jbt"] = str(refusal)
    classify = classifier_of(bundle, data)
    if classify is None:
        reasons["simplicial"] = NO_CLASSES
        return sections, reasons
    try:
        sections["simplicial"] = simplicial_pilot(bundle, fitted_seeds(bundle, classify, seed), "fitted", seed)
    except TrainingRefused as refusal:
        reasons["simplicial"] = str(refusal)
    return sections, reasons


NO_CLASSES = "it needs a network 'features', or for points labelled data (--data), to tell classes apart"


def tune_ascents(
    folder: Path,
    data: Dataset,
    seed: int,
    device: torch.device,
    features: Path | None = None,
    pixels: bool = False,
) -> dict[str, Climb]:
    """Measure how many steps the ascents of the bundle in ``folder`` take and make them its defaults.

    ``data``: what w was trained on; of it the rows are read that training set apart for the gate, which judges
    latentRS alone. ``features``: a file in the place of the bundle's feature network. ``pixels``: without either
    compare samples as they are, also large images. Raises TrainingRefused, DataError, RejectionStalled; the bundle is
    then as it was.
    """
    bundle = load_bundle(folder, device)
    require_weights(bundle)
    problem = problem_of(bundle, split_for_gate(data)[0], device)
    if features is not None:
        problem = replace(problem, features=load_extractor(features, problem.real, device))
    if problem.features is None and not pixels:
        check_samples_are_features(bundle, "--pixels")
    climbs = measure_climbs(bundle, problem, seed)
    defaults = {method: dict(settings) for method, settings in bundle.manifest.defaults.items()}
    for method, climb in climbs.items():
        defaults.setdefault(method, {})["steps"] = climb.steps
    save_bundle(folder, bundle.manifest.model_copy(update={"defaults": defaults}), bundle.networks)
    return climbs
