"""Pilot sections measured for a bundle on disk, and written into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.bundle import Bundle, load_bundle, save_bundle
from models.manifest import Manifest
from models.pilot import PilotSection
from training.data.dataset import DataError, Dataset
from training.errors import TrainingRefused
from training.pilot.jbt import jbt_pilot
from training.pilot.simplicial import classifier_of, fitted_seeds, simplicial_pilot


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
