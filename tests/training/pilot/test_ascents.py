"""How many steps the ascents take: on a case whose answer is known, on none to be had, and in the bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.bundle import Bundle, load_bundle
from models.importance import ImportanceNetwork
from models.manifest import Defaults
from sampling.methods import with_defaults
from tests.models import bundles
from tests.sampling.pilots import bundle_with
from training.data.dataset import Dataset
from training.pilot import ascents
from training.pilot.ascents import Climb, measure_climbs
from training.pipeline import problem_of, tune_ascents
from winnow.cli import main

SHIFT, CAP, STEP = 0.8, 60.0, 0.1
CPU = torch.device("cpu")
STRAIGHT: Defaults = {name: {"step_size": STEP, "projection": "none"} for name in ("latentga", "latentrsga")}


def shifted(folder: Path, slope: float) -> Bundle:
    """x = z, normal in the plane; w is the ratio of N((slope, 0), I) to it while it is far below its cap."""
    bundle = bundle_with(folder, nn.Identity(), dim=2)
    network = ImportanceNetwork(2, (), "bounded", CAP)
    layer = network.body[0]
    assert isinstance(layer, nn.Linear)
    layer.weight.data = torch.tensor([[slope, 0.0]])
    layer.bias.data = torch.tensor([-slope * slope / 2]) + torch.tensor([1 / CAP]).logit()
    networks = {"generator": nn.Identity(), "importance": network.requires_grad_(False)}
    manifest = bundle.manifest.model_copy(update={"defaults": STRAIGHT})
    return replace(bundle, manifest=manifest, networks=networks)  # type: ignore[arg-type]


def normal_around(mean: float, rows: int = 3_000) -> Dataset:
    z = torch.randn(rows, 2, generator=torch.Generator().manual_seed(1))
    return Dataset("plane", z + torch.tensor([mean, 0.0]))


def climbs_to(bundle: Bundle, mean: float) -> dict[str, Climb]:
    return measure_climbs(bundle, problem_of(bundle, normal_around(mean), CPU), seed=0)


def test_the_climb_ends_where_the_data_is_and_does_not_begin_after_exact_rejection(tmp_path: Path) -> None:
    """log w grows by SHIFT a unit, a step is STEP times that: the mean is there after 1 / STEP = 10 of them."""
    found = climbs_to(shifted(tmp_path, SHIFT), SHIFT)
    assert found["latentga"].closest == found["latentga"].steps == 10
    assert found["latentga"].distances[10] < 0.05 * found["latentga"].distances[0]
    assert found["latentrsga"].closest == 0 and found["latentrsga"].steps == 1
    assert found["latentrsga"].distances[0] < 0.1 * found["latentga"].distances[0]


def test_a_w_that_is_too_timid_leaves_something_to_climb_after_rejection(tmp_path: Path) -> None:
    """Rejection by the ratio to N((0.6, 0), I) ends there; 0.3 more at 0.6 * STEP a step are five."""
    found = climbs_to(shifted(tmp_path, 0.6), 0.9)
    assert found["latentrsga"].closest in (4, 5, 6)
    assert found["latentga"].closest in (12, 16)


@pytest.mark.parametrize("slope", [SHIFT, -SHIFT, 0.0])
def test_where_there_is_nothing_to_gain_the_mildest_ascent_is_kept(tmp_path: Path, slope: float) -> None:
    """The generator is perfect: any w that slopes leads away from the data, a flat one nowhere."""
    found = climbs_to(shifted(tmp_path, slope), 0.0)["latentga"]
    assert found.closest == 0 and found.steps == 1


def test_nobody_looks_further_once_it_got_worse_twice(tmp_path: Path) -> None:
    found = climbs_to(shifted(tmp_path, -SHIFT), SHIFT)["latentga"]
    assert list(found.distances) == [0, 1, 2]
    found = climbs_to(shifted(tmp_path, SHIFT), SHIFT)["latentga"]
    assert list(found.distances) == [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16]


def test_a_climb_that_is_still_gaining_ends_with_the_last_look(tmp_path: Path) -> None:
    found = climbs_to(shifted(tmp_path, SHIFT), 3.0)["latentga"]
    assert list(found.distances) == list(ascents.STEPS) and found.steps == ascents.STEPS[-1]


def test_the_latents_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    bundle = shifted(tmp_path, SHIFT)
    assert climbs_to(bundle, SHIFT) == climbs_to(bundle, SHIFT)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "bundle")


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    path = tmp_path / "plane.npz"
    np.savez(path, train_points=np.random.default_rng(0).normal(size=(600, 2)))
    return path


def test_the_steps_become_defaults_and_nothing_else_changes(small: Path, plane: Path) -> None:
    bundles.edit(
        small, lambda document: document.update(defaults={"latentga": {"step_size": 0.02}, "mh": {"candidates": 4}})
    )
    before = load_bundle(small)
    assert main(["train", "ascents", "--bundle", str(small), "--data", str(plane), "--device", "cpu"]) == 0
    after = load_bundle(small)
    steps = {name: after.manifest.defaults[name].pop("steps") for name in ascents.STARTS}
    assert all(value in ascents.STEPS[1:] for value in steps.values())
    assert after.manifest.defaults == {**before.manifest.defaults, "latentrsga": {}}
    assert after.manifest.model_copy(update={"defaults": before.manifest.defaults}) == before.manifest


def test_a_request_without_steps_takes_the_measured_ones(small: Path, plane: Path) -> None:
    climbs = tune_ascents(small, Dataset("plane", torch.randn(600, 2)), 0, CPU)
    bundle = load_bundle(small)
    assert {name: with_defaults(bundle, name).steps for name in climbs} == {  # type: ignore[attr-defined]
        name: climb.steps for name, climb in climbs.items()
    }


def test_the_words_say_what_was_measured(
    small: Path, plane: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    climbs = {"latentga": Climb({0: 0.5, 1: 0.25, 2: 0.3}), "latentrsga": Climb({0: 0.1, 1: 0.2})}
    monkeypatch.setattr("training.pipeline.measure_climbs", lambda *rest: climbs)
    assert main(["train", "ascents", "--bundle", str(small), "--data", str(plane), "--device", "cpu"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "latentga: steps=1 (distance to real rows by steps: 0: 0.50000, 1: 0.25000, 2: 0.30000)"
    mildest = "climbing does not pay; steps=1, the mildest"
    assert second == f"latentrsga: {mildest} (distance to real rows by steps: 0: 0.10000, 1: 0.20000)"


def without_weights(folder: Path) -> None:
    bundles.edit(folder, lambda document: (document["networks"].pop("importance"), document.pop("importance")))


@pytest.mark.parametrize(
    ("spoil", "points", "said"),
    [
        (without_weights, (600, 2), "has no importance network"),
        (lambda folder: (folder / "generator.safetensors").write_bytes(b"half"), (600, 2), "generator.safetensors"),
        (lambda folder: None, (600, 3), "shape"),
        (lambda folder: None, (8, 2), "at least 10 are needed"),
    ],
)
def test_what_cannot_be_measured_leaves_the_bundle_and_says_why(
    small: Path,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    points: tuple[int, int],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "x.npz", train_points=np.random.default_rng(0).normal(size=points))
    spoil(small)
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    assert main(["train", "ascents", "--bundle", str(small), "--data", str(tmp_path / "x.npz"), "--device", "cpu"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and said in error[0]
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before
