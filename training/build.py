"""``make bundles``: the embedded bundles from nothing, resumable at every step.

    python -m training.build [--only gaussians-25] [--runs runs] [--bundles bundles] [--device auto] [--threads 2]

GAN, feature spaces, the density-ratio classifier with its constants, the pilot run; then one importance network an
objective, selection, report: other weights touch nothing that was made before them. Selection reads held-out training
data only; the test split is opened once, for the report of what was selected.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from models.bundle import load_bundle
from training.checkpoint import OtherRunError
from training.classifier import RECORD as CLASSIFIER_RECORD
from training.classifier import ClassifierConfig, classifier_bundle
from training.data.catalog import load
from training.data.dataset import Dataset
from training.device import choose_device
from training.evaluation.files import write_report
from training.evaluation.material import gather
from training.evaluation.page.document import render
from training.evaluation.report import Options, evaluate, spaces_of
from training.gan import train_gan
from training.pilot.add import add_pilot, measure_pilot, tune_ascents
from training.pipeline import (
    add_features,
    curve_of_run,
    gan_bundle,
    other_weights,
    record_verdict,
    weights_bundle,
)
from training.presets import GAN_PRESETS, WEIGHTS_PRESETS
from training.refusals import EXPECTED
from training.weights.config import WeightsConfig
from training.writing import replace_folder, write_json

REPORT_SEED = 20_000
PILOT_SEED = 0
CLASSIFIER = ClassifierConfig()
WEIGHTS_RECORD = "weights.json"


@dataclass(frozen=True)
class Recipe:
    """A GAN preset, whether its data has classes to train feature spaces on, and the objectives to choose from.

    ``classifier``: of the baselines' networks.
    ``rows_per_real``: of the fast methods in the report, to each row of the test split.
    """

    preset: str
    features: bool
    objectives: tuple[str, ...]
    classifier: ClassifierConfig = CLASSIFIER
    rows_per_real: int | None = None

    @property
    def report(self) -> Options:
        return Options(rows_per_real=self.rows_per_real)


SHORT_LIST = (
    "least-squares", "energy-least-squares", "energy-least-squares-large", "energy-ratio", "energy-ladder", "energy",
    "energy-laplace",
)  # fmt: skip
"""Of images: without the objectives that were furthest from the best on fashion-mnist's held-out rows."""
COMPARED = (*SHORT_LIST, "transport", "transport-raw", "ratio", "adversarial", "paper")
PLANE_COMPARED = ("energy-ladder", "energy", "energy-ratio", "ratio", "transport", "adversarial")
RECIPES = {
    "fashion-mnist": Recipe("fashion-mnist", True, COMPARED, rows_per_real=30),
    "mnist": Recipe("mnist", True, SHORT_LIST, rows_per_real=30),
    "stacked-mnist": Recipe("stacked-mnist", True, SHORT_LIST),
    "gaussians-25": Recipe("gaussians-25", False, PLANE_COMPARED),
    "swiss-roll": Recipe("swiss-roll", False, PLANE_COMPARED),
    "digits": Recipe(
        "digits",
        True,
        ("least-squares", "energy-least-squares", "energy-ladder", "energy", "energy-laplace", "energy-ratio"),
        ClassifierConfig(steps=1_000, critic_steps=500),
        rows_per_real=30,
    ),
}
EMBEDDED = ("fashion-mnist", "mnist", "gaussians-25", "swiss-roll", "digits")
"""What ``make bundles`` makes; the others are made by name."""


def build(name: str, recipe: Recipe, runs: Path, bundles: Path, device: torch.device) -> Path:
    """Every step of ``recipe`` in ``runs/name``; the result replaces ``bundles/name``."""
    run = runs / name
    config = GAN_PRESETS[recipe.preset]
    train, test = load(config.data, "train"), load(config.data, "test")
    resumed_or_anew(run / "gan", partial(train_gan, config, train, run / "gan", device))
    base = run / "base"
    gan_bundle(run / "gan", base)
    if recipe.features and "features" not in load_bundle(base).networks:
        scores = add_features(base, train, test, device)
        write_json(base / "features.json", {"test_accuracy": scores})
    whole = complete(recipe.classifier, run, base, train, device)
    train_objectives(recipe, run, whole, train, device)
    return publish(run, select(run, recipe.objectives), recipe, bundles / name, device)


def train_objectives(recipe: Recipe, run: Path, source: Path, train: Dataset, device: torch.device) -> None:
    """One importance network an objective, each a bundle in ``run / objective``; those that are current stay."""
    for objective in recipe.objectives:
        with_weights(WEIGHTS_PRESETS[objective], run / objective, source, train, device, run / "pools")


def complete(config: ClassifierConfig, run: Path, source: Path, train: Dataset, device: torch.device) -> Path:
    """``source`` with the networks and constants of the other methods, as a bundle in ``run / "classifier"``."""
    whole = with_classifier(config, run / "classifier", source, train, device)
    bundle = load_bundle(whole, device)
    if bundle.manifest.pilot.jbt is None or bundle.manifest.pilot.simplicial is None:
        labelled = train if train.labels is not None else None
        sections, reasons = measure_pilot(bundle, PILOT_SEED, labelled)
        add_pilot(whole, sections)
        for name, reason in reasons.items():
            print(f"{bundle.name} is left without {name}: {reason}", file=sys.stderr)
    return whole


def with_weights(
    config: WeightsConfig, folder: Path, source: Path, train: Dataset, device: torch.device, pools: Path | None = None
) -> Path:
    """``source`` with importance weights, as a bundle in ``folder``; ``pools``: where latents are shared by runs."""
    if not is_current(folder, config, source):
        resumed_or_anew(folder, partial(weights_bundle, config, source, train, folder, device, pools))
    return folder / "bundle"


def with_classifier(config: ClassifierConfig, folder: Path, source: Path, train: Dataset, device: torch.device) -> Path:
    """``source`` with classifier, Wasserstein critic and their constants, as a bundle in ``folder``."""
    if not is_current(folder, config, source, CLASSIFIER_RECORD):
        resumed_or_anew(folder, partial(classifier_bundle, config, source, train, folder, device))
    return folder / "bundle"


def resumed_or_anew(folder: Path, work: Callable[[], object]) -> None:
    """``work``, which goes on from the checkpoint in ``folder``; a run of other settings, networks or data there is set
    aside first, whole, as ``<folder>.old``."""
    try:
        work()
    except OtherRunError:
        old = folder.with_name(f"{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        work()


def is_current(
    folder: Path, settings: WeightsConfig | ClassifierConfig, base: Path, record: str = WEIGHTS_RECORD
) -> bool:
    """Whether ``folder`` holds what these settings make of ``base``, its networks and constants, as ``record`` says.

    A record or bundle that cannot be read is not current: it is made again.
    """
    try:
        recorded = json.loads((folder / record).read_text())["settings"]
        theirs = load_bundle(folder / "bundle").manifest
    except (OSError, ValueError, KeyError, TypeError):
        return False
    ours = load_bundle(base).manifest
    same_networks = all(theirs.networks.get(role) == spec for role, spec in ours.networks.items())
    same_constants = all(getattr(theirs.pilot, name) == section for name, section in ours.pilot if section is not None)
    return bool(recorded == json.loads(json.dumps(asdict(settings)))) and same_networks and same_constants


def select(run: Path, objectives: tuple[str, ...]) -> str:
    """The objective with the lowest energy distance on held-out training data."""
    return min(objectives, key=lambda objective: held_out_energy(run / objective))


def held_out_energy(folder: Path, which: str = "trained") -> float:
    """Of the run's weights, or of flat ones (``unweighted``)."""
    record = json.loads((folder / WEIGHTS_RECORD).read_text())
    return float(record["held_out_energy_distance"][which])


def publish(run: Path, chosen: str, recipe: Recipe, out: Path, device: torch.device) -> Path:
    """Report on the bundle of the objective ``chosen`` on the test split, beside every other one, then copy it.

    Its verdict on w is the bundle's.
    """
    config = GAN_PRESETS[recipe.preset]
    train, test = load(config.data, "train"), load(config.data, "test")
    folder = run / chosen / "bundle"
    climbs = tune_ascents(folder, train, REPORT_SEED, device)
    bundle = load_bundle(folder, device)
    others = [run / objective / "bundle" for objective in recipe.objectives if objective != chosen]
    report = evaluate(bundle, train, test, REPORT_SEED, device, other_weights(bundle, others), recipe.report)
    report["bundle_digest"] = record_verdict(folder, report["gate"]).digest
    report["selection"] = {
        "criterion": "energy distance on held-out training data in the training features",
        "held_out_energy_distance": {objective: held_out_energy(run / objective) for objective in recipe.objectives},
        "unweighted": held_out_energy(run / chosen, "unweighted"),
        "chosen": chosen,
        "ascents": {
            method: {"steps": climb.steps, "gain": climb.gain, **asdict(climb)} for method, climb in climbs.items()
        },
    }
    features = run / "base" / "features.json"
    if features.exists():
        report["feature_spaces"] = json.loads(features.read_text())
    report["generator_curve"] = curve_of_run(run / "gan", spaces_of(load_bundle(folder)), train, test)
    material = gather(bundle, train, test, REPORT_SEED, device)
    report["pictures"] = material.numbers()
    write_report(report, folder, render(report, material))
    replace_folder(folder, out)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", action="extend", choices=tuple(RECIPES), help="(default: the embedded)")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--bundles", type=Path, default=Path("bundles"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    try:
        device = choose_device(args.device, args.threads)
        for name in dict.fromkeys(args.only or EMBEDDED):
            print(build(name, RECIPES[name], args.runs, args.bundles, device))
    except EXPECTED as error:
        print(f"training.build: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
