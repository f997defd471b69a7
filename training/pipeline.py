"""From a training run to a bundle: generator, then feature spaces, then weights, each step a bundle on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from models.bundle import Bundle, BundleError, load_bundle, save_bundle
from models.generators.cnn28 import Cnn28Generator
from models.importance import ImportanceNetwork
from models.manifest import (
    Defaults,
    GateVerdict,
    ImportanceSpec,
    Manifest,
    NetworkRole,
    NetworkSpec,
    OutputSpec,
    PriorSpec,
)
from models.registry import build
from sampling.ascent import AscentParameters
from training.checkpoint import load_checkpoint
from training.data.catalog import fixed_split
from training.data.dataset import DataError, Dataset
from training.errors import TrainingRefused
from training.evaluation.blocks import Space
from training.evaluation.check import check_weights, split_for_gate
from training.evaluation.curve import generator_curve
from training.evaluation.gate import Limits
from training.evaluation.report import RAW_VALUES, require_weights, spaces_of
from training.extractor import NO_FILES, Extractor, ExtractorFiles
from training.feature_spaces import FEATURE_SPACES, feature_spaces_for
from training.features import accuracy, train_classifier
from training.gan import CHECKPOINT, CONFIG, SNAPSHOTS, GanConfig
from training.pilot.ascents import METHODS as ASCENTS
from training.weights.calibrate import calibrate, longest_step
from training.weights.config import WeightsConfig
from training.weights.problem import SPLIT_SEED, Problem
from training.weights.train import TrainedWeights, train_weights
from training.writing import write_json

NO_HASH = "0" * 64  # save_bundle puts the hash of the weights as written in its place
LICENCE = "Apache-2.0"
CALIBRATION_SEED, STEP_SEED = 2_000_001, 2_000_003
CURVE_FILE = "curve.json"


def gan_bundle(run: Path, out: Path, snapshot: Path | None = None) -> Manifest:
    """The generator (its average, batch normalisation folded) and critic of a GAN run as a bundle.

    ``snapshot``: a file of the run's ``snapshots/``; the run's last state without it. Feature spaces that a bundle
    at ``out`` already has are kept: they belong to the data, not to the generator.
    """
    config = GanConfig(**json.loads((run / CONFIG).read_text()))
    state, meta = load_checkpoint(run / CHECKPOINT)
    generator_config = {"latent_dim": config.latent_dim, **config.generator_config}
    generator = build(config.generator, generator_config)
    generator.load_state_dict(load_file(snapshot) if snapshot else state["ema"])
    generator.eval()
    if isinstance(generator, Cnn28Generator) and generator.norm:
        generator = generator.folded()
        generator_config = {key: value for key, value in generator_config.items() if key != "norm"}
    critic = build(config.critic, config.critic_config)
    critic.load_state_dict(state["critic"])
    with torch.no_grad():
        shape = tuple(generator(torch.zeros(1, config.latent_dim)).shape[1:])
    steps = snapshot.stem.removeprefix("step-").lstrip("0") if snapshot else str(meta["step"])
    manifest = Manifest(
        name=bundle_name(config.data),
        version="1",
        licence=LICENCE,
        description=f"{config.loss} GAN with gradient penalty on {bundle_name(config.data)}, {steps} generator steps.",
        prior=PriorSpec(kind=config.prior, dim=config.latent_dim),
        output=_output_spec(shape),
        networks={
            "generator": NetworkSpec(architecture=config.generator, config=generator_config, sha256=NO_HASH),
            "critic": NetworkSpec(architecture=config.critic, config=config.critic_config, sha256=NO_HASH),
        },
    )
    specs, kept = _feature_spaces(out)
    manifest = manifest.model_copy(update={"networks": {**manifest.networks, **specs}})
    return save_bundle(out, manifest, {"generator": generator, "critic": critic, **kept})


def _feature_spaces(folder: Path) -> tuple[dict[NetworkRole, NetworkSpec], dict[NetworkRole, nn.Module]]:
    try:
        bundle = load_bundle(folder)
    except BundleError:  # none, or one that a stopped run left in pieces
        return {}, {}
    roles = [role for role in FEATURE_SPACES if role in bundle.networks]
    return {r: bundle.manifest.networks[r] for r in roles}, {r: bundle.networks[r] for r in roles}


def add_features(folder: Path, data: Dataset, test: Dataset, device: torch.device) -> dict[str, float]:
    """Train both feature classifiers on ``data`` into the bundle; returns their accuracy on ``test``."""
    bundle, spaces = load_bundle(folder), feature_spaces_for(data)
    networks, specs = dict(bundle.networks), dict(bundle.manifest.networks)
    scores: dict[str, float] = {}
    for role, space in spaces.items():
        networks[role] = train_classifier(space.architecture, data, space.epochs, space.seed, device, space.config)
        assert data.labels is not None  # train_classifier has seen to it
        config = {**space.config, "classes": int(data.labels.max()) + 1}
        specs[role] = NetworkSpec(architecture=space.architecture, config=config, sha256=NO_HASH)
        scores[role] = accuracy(networks[role], test, device)
    save_bundle(folder, bundle.manifest.model_copy(update={"networks": specs}), networks)
    return scores


def problem_of(bundle: Bundle, data: Dataset, device: torch.device) -> Problem:
    """What importance training starts from: distances between features of the bundle's network, or else samples.

    Raises DataError.
    """
    expected = bundle.manifest.output.shape
    if tuple(data.samples.shape[1:]) != expected:
        got = tuple(data.samples.shape[1:])
        raise DataError(f"{data.name} has samples of shape {got}, the bundle {bundle.name} makes {expected}")
    return Problem(
        prior=bundle.prior,
        generator=bundle.generator,
        features=bundle.networks.get("features"),
        real=data,
        device=device,
        critic=bundle.networks.get("critic"),
    )


def weights_bundle(
    config: WeightsConfig,
    source: Path,
    data: Dataset,
    out: Path,
    device: torch.device,
    pools: Path | None = None,
    limits: Limits | None = None,
    extractors: ExtractorFiles = NO_FILES,
) -> TrainedWeights:
    """Train w for the bundle ``source`` in folder ``out``; the bundle with its weights is ``out / "bundle"``.

    ``limits``: of the quality gate, whose verdict the bundle records; without them w is "unchecked". The gate comes
    before anything is saved, so an interrupted one leaves the last bundle. Its rows of ``data`` are kept from training
    either way. ``extractors``: in the place of the bundle's feature networks.
    """
    bundle = load_bundle(source, device)
    gate_rows, rest = split_for_gate(data)
    problem = problem_of(bundle, rest, device)
    features, independent = extractors.load(rest, device)
    if features is not None:
        problem = replace(problem, features=features)
    if problem.features is None and config.spaces == ("features",):
        check_samples_are_features(bundle)
    space = None if limits is None else spaces_of(bundle, features, independent)[-1]
    trained = train_weights(config, problem, out, pools)
    weighted = with_weights(bundle, trained.network, config.name)
    gate = None
    if limits is not None:
        trained.network.to(device)
        gate = check_weights(weighted, gate_rows, rest, limits, config.seed, device, space)
        weighted = with_verdict(weighted, gate["verdict"], gate["reason"])
    save_bundle(out / "bundle", weighted.manifest, weighted.networks)
    record = {**_record(config, trained, features), "gate": gate}
    write_json(out / "weights.json", record)
    return trained


def check_samples_are_features(bundle: Bundle, otherwise: str = "--spaces samples") -> None:
    """Raises TrainingRefused for larger images: distances between pixels miss what is like what.

    Points are their own features, and so may small grey images be.
    """
    shape = bundle.manifest.output.shape
    if prod(shape) > RAW_VALUES:
        raise TrainingRefused(
            f"{bundle.name} makes images of shape {shape} and has no feature network: give --features PATH (an "
            f"exported Inception, VGG or the like), run winnow train features, or say {otherwise} to compare pixels"
        )


def record_verdict(folder: Path, gate: Mapping[str, Any]) -> Bundle:
    """The bundle in ``folder``, now with the verdict and reason of a report's ``gate``; its digest changes."""
    bundle = load_bundle(folder)
    require_weights(bundle)
    judged = with_verdict(bundle, gate["verdict"], gate["reason"])
    save_bundle(folder, judged.manifest, judged.networks)
    return load_bundle(folder)


def with_verdict(bundle: Bundle, verdict: GateVerdict, reason: str) -> Bundle:
    """``bundle`` with what the quality gate said of its w."""
    assert bundle.manifest.importance is not None
    spec = bundle.manifest.importance.model_copy(update={"verdict": verdict, "reason": reason})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"importance": spec}))


def with_weights(bundle: Bundle, network: ImportanceNetwork, objective: str) -> Bundle:
    """``bundle`` with ``network`` as its importance network, calibrated on fresh latents; its digest is none yet."""
    networks: dict[NetworkRole, nn.Module] = {**bundle.networks, "importance": network}
    spec = NetworkSpec(architecture="importance-mlp", config=network.config, sha256=NO_HASH)
    manifest = bundle.manifest.model_copy(
        update={
            "networks": {**bundle.manifest.networks, "importance": spec},
            "importance": ImportanceSpec(head=network.head, cap=network.cap, objective=objective),
            "calibration": calibrate(network, bundle.prior, CALIBRATION_SEED),
            "defaults": with_gentle_steps(bundle.manifest.defaults, longest_step(network, bundle.prior, STEP_SEED)),
        }
    )
    return Bundle(manifest, networks, NO_HASH)


def with_gentle_steps(defaults: Defaults, longest: float) -> Defaults:
    """``defaults`` of a bundle with other weights: ascents step no further than ``longest``, their usual step needs no
    word, and how many steps they take is not measured yet."""
    found = {method: dict(settings) for method, settings in defaults.items()}
    for method in ASCENTS:
        own = found.setdefault(method, {})
        own.pop("step_size", None)
        own.pop("steps", None)
        if longest < AscentParameters().step_size:
            own["step_size"] = longest
    return {method: settings for method, settings in found.items() if settings}


def bundle_name(data: str) -> str:
    """A data set's name, or the last part of its path, as a bundle may be called."""
    name = re.sub(r"[^a-z0-9._-]+", "-", Path(data).name.lower()).strip("-._").removesuffix(".npz")
    return name[:64] or "model"


def snapshots(run: Path) -> dict[int, Path]:
    """Generator snapshots of a GAN run by step, in order."""
    return {int(path.stem.removeprefix("step-")): path for path in sorted((run / SNAPSHOTS).glob("step-*.safetensors"))}


def _output_spec(shape: tuple[int, ...]) -> OutputSpec:
    if len(shape) == 1:
        return OutputSpec(kind="points", shape=shape)
    return OutputSpec(kind="image", shape=shape, range=(-1.0, 1.0))


def _record(config: WeightsConfig, trained: TrainedWeights, extractor: Extractor | None) -> dict[str, Any]:
    return {
        "settings": asdict(config),
        "features": extractor and {"file": extractor.path.name, "sha256": extractor.sha256},
        "held_out_energy_distance": {
            "unweighted": trained.unweighted,
            "trained": trained.held_out,
            "gain": trained.gain,
            "standard_error": trained.error,
            "flat": trained.flat,
            "history": trained.history,
        },
    }


def other_weights(bundle: Bundle, folders: list[Path]) -> dict[str, ImportanceNetwork]:
    """Importance networks of other bundles by their run's name, in order; they must belong to the same generator.

    Raises TrainingRefused where they do not, and for a folder that is named twice.
    """
    found: dict[str, ImportanceNetwork] = {}
    for name, folder in zip(run_names(folders), folders, strict=True):
        other = load_bundle(folder)
        same = other.manifest.networks["generator"].sha256 == bundle.manifest.networks["generator"].sha256
        if other.importance is None or not same:
            raise TrainingRefused(f"{folder} has no weights, or another generator than {bundle.name}")
        found[name] = other.importance
    return found


def run_names(folders: list[Path]) -> list[str]:
    """The last part of each path before ``bundle``; as many parts as tell all of them apart. Raises TrainingRefused."""
    runs = [folder.parent if folder.name == "bundle" else folder for folder in map(Path.resolve, folders)]
    if twice := [str(folder) for folder, run in zip(folders, runs, strict=True) if runs.count(run) > 1]:
        raise TrainingRefused(f"{twice[0]} is named twice; name each bundle once, in --seeds or in --against")
    for parts in range(1, max((len(run.parts) for run in runs), default=0) + 1):
        names = ["/".join(run.parts[-parts:]) for run in runs]
        if len(set(names)) == len(names):
            return names
    return []


def curve_of_run(run: Path, spaces: list[Space], train: Dataset, test: Dataset) -> list[dict[str, Any]]:
    """Quality of the run's generator over its snapshots, in ``spaces`` on the CPU; points stay in the run."""
    config = GanConfig(**json.loads((run / CONFIG).read_text()))
    selection, _ = fixed_split(train, min(len(test), len(train) // 4), SPLIT_SEED)
    return generator_curve(config, snapshots(run), spaces, selection, test, run / CURVE_FILE)
