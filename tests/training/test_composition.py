"""Features, weights, classifier and pilot go into one bundle in any order, each keeping what the others made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.bundle import Bundle, load_bundle, save_bundle
from models.manifest import Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.registry import build
from training import pipeline
from training.classifier import ClassifierConfig, classifier_bundle
from training.data.dataset import Dataset
from training.features import BATCH
from training.pilot import jbt, simplicial
from training.pilot.add import add_pilot, measure_pilot
from training.pipeline import add_features, weights_bundle
from training.presets import WEIGHTS_PRESETS

CPU = torch.device("cpu")
ROWS = 1_000
MAKES: dict[str, tuple[set[str], set[str]]] = {
    "features": ({"features", "features_independent"}, set()),
    "weights": ({"importance"}, set()),
    "classifier": ({"classifier", "wasserstein_critic"}, {"classifier", "drs", "mh", "dot"}),
    "pilot": (set(), {"jbt", "simplicial"}),
}


def images(rows: int = ROWS) -> Dataset:
    """Black and white noise of two classes, one of them brighter."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % 2
    noise = torch.rand(rows, 1, 28, 28, generator=rng)
    return Dataset("noise", (noise * 100 + 100 * labels[:, None, None, None]).to(torch.uint8), labels)


def write_source(folder: Path) -> Path:
    configs: dict[NetworkRole, tuple[str, dict[str, object]]] = {
        "generator": ("mlp-generator", {"latent_dim": 3, "output_shape": [1, 28, 28], "hidden": [], "tanh": True}),
        "critic": ("mlp-critic", {"input_dim": 784, "hidden": [8]}),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {role: build(*config) for role, config in configs.items()}
    manifest = Manifest(
        name="noise", version="1", licence="CC0-1.0", description="noise", prior=PriorSpec(kind="normal", dim=3),
        output=OutputSpec(kind="image", shape=(1, 28, 28), range=(-1, 1)),
        networks={role: NetworkSpec(architecture=a, config=c, sha256="0" * 64) for role, (a, c) in configs.items()},
        defaults={"sir": {"candidates": 7}},
    )  # fmt: skip
    save_bundle(folder, manifest, networks)
    return folder


def take_features(folder: Path, out: Path) -> Path:
    add_features(folder, images(BATCH), images(10), CPU)
    return folder


def take_weights(folder: Path, out: Path) -> Path:
    settings = replace(
        WEIGHTS_PRESETS["energy"], steps=2, validate_every=1, pool_rows=600, held_out_rows=200, hidden=(8,)
    )
    weights_bundle(settings, folder, images(), out, CPU)
    return out / "bundle"


def take_classifier(folder: Path, out: Path) -> Path:
    config = ClassifierConfig(steps=40, critic_steps=2, batch=32, lr=2e-3, held_out_rows=100, validate_every=20)
    classifier_bundle(config, folder, images(), out, CPU)
    return out / "bundle"


def take_pilot(folder: Path, out: Path) -> Path:
    add_pilot(folder, measure_pilot(load_bundle(folder), 0)[0])
    return folder


STEPS: dict[str, Callable[[Path, Path], Path]] = {
    "features": take_features, "weights": take_weights, "classifier": take_classifier, "pilot": take_pilot,
}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = {
        role: replace(space, architecture="lenet-features", epochs=1) for role, space in pipeline.FEATURE_SPACES.items()
    }
    monkeypatch.setattr(pipeline, "FEATURE_SPACES", spaces)
    # Whatever so short a training makes of the two classes: seeds need both.
    monkeypatch.setattr(simplicial, "_by_network", lambda _: lambda x: (x.flatten(1)[:, 0] > 0).long())
    for function, rows in (
        (jbt.jbt_pilot, (100,)), (simplicial.simplicial_pilot, (500,)), (simplicial.fitted_seeds, (500,)),
    ):  # fmt: skip
        monkeypatch.setattr(function, "__defaults__", rows)


def sections(bundle: Bundle) -> dict[str, object]:
    pilot = bundle.manifest.pilot
    return {name: section for name in type(pilot).model_fields if (section := getattr(pilot, name)) is not None}


@pytest.mark.parametrize(
    "order",
    [
        ("features", "weights", "classifier", "pilot"),
        ("pilot", "classifier", "weights", "features"),
        ("classifier", "features", "pilot", "weights"),
        ("weights", "pilot", "features", "classifier"),
    ],
    ids="-".join,
)
def test_each_step_adds_its_own_and_keeps_the_rest_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    folder = write_source(tmp_path / "source")
    for name in order:
        before = load_bundle(folder)
        folder = STEPS[name](folder, tmp_path / name)
        after = load_bundle(folder)
        networks, constants = MAKES[name]
        if name == "pilot" and "features" not in before.networks:
            constants = {"jbt"}
        assert set(after.networks) == set(before.networks) | networks
        assert set(sections(after)) == set(sections(before)) | constants
        for role, spec in before.manifest.networks.items():
            assert after.manifest.networks[role] == spec, role
        for section, measured in sections(before).items():
            assert sections(after)[section] == measured, section
        assert before.manifest.defaults.items() <= after.manifest.defaults.items()  # drs may have got a shift
        if name != "weights":
            assert after.manifest.importance == before.manifest.importance
            assert after.manifest.calibration == before.manifest.calibration


def test_new_weights_keep_the_constants_of_the_generator_they_were_measured_on(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "source")
    for name in ("weights", "pilot"):
        folder = STEPS[name](folder, tmp_path / name)
    before, after = load_bundle(folder), load_bundle(take_weights(folder, tmp_path / "again"))
    assert after.manifest.networks["generator"] == before.manifest.networks["generator"]
    assert sections(after) == sections(before) != {}
