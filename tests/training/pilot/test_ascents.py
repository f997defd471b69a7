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
from training.errors import TrainingRefused
from training.evaluation.check import split_for_gate
from training.features import features_of
from training.pilot import ascents
from training.pilot.add import tune_ascents
from training.pilot.ascents import Climb, measure_climbs
from training.pipeline import problem_of
from training.weights.calibrate import calibrate
from training.weights.held_out import YARDSTICK, HeldOutEnergy
from training.weights.kernels import discrepancy
from training.weights.problem import Pool, Problem
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


@pytest.fixture(autouse=True)
def fewer_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ascents, "ROWS", 2_000)


def with_step(bundle: Bundle, step: float, **others: float) -> Bundle:
    own = {name: {**settings, "step_size": step} for name, settings in STRAIGHT.items()}
    own["latentrsga"] |= others
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"defaults": own}))


def normal_around(mean: float, rows: int = 2_000, data_seed: int = 1) -> Dataset:
    z = torch.randn(rows, 2, generator=torch.Generator().manual_seed(data_seed))
    return Dataset("plane", z + torch.tensor([mean, 0.0]))


def climbs_to(bundle: Bundle, mean: float, seed: int = 0, **data: int) -> dict[str, Climb]:
    return measure_climbs(bundle, problem_of(bundle, normal_around(mean, **data), CPU), seed)


def test_the_climb_ends_where_the_data_is_and_does_not_begin_after_exact_rejection(tmp_path: Path) -> None:
    """log w grows by SHIFT a unit, a step is STEP times that: the mean is there after 1 / STEP = 10 of them."""
    found = climbs_to(shifted(tmp_path, SHIFT), SHIFT)
    assert found["latentga"].closest == found["latentga"].steps == 10
    assert found["latentga"].distances[10] < 0.05 * found["latentga"].distances[0]
    assert not found["latentrsga"].pays and found["latentrsga"].steps == 1
    assert found["latentrsga"].distances[0] < 0.1 * found["latentga"].distances[0]


def test_a_w_that_is_too_timid_leaves_something_to_climb_after_rejection(tmp_path: Path) -> None:
    """Rejection by the ratio to N((0.6, 0), I) ends there; 0.3 more at 0.6 * STEP a step are five."""
    found = climbs_to(shifted(tmp_path, 0.6), 0.9)
    assert found["latentrsga"].closest in (4, 5, 6)
    assert found["latentga"].closest in (12, 16)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize(("slope", "step"), [(SHIFT, STEP), (-SHIFT, 0.02), (SHIFT, 0.02), (0.0, STEP)])
def test_where_there_is_nothing_to_gain_the_mildest_ascent_is_kept(
    tmp_path: Path, slope: float, step: float, seed: int
) -> None:
    """The generator is perfect: a w that slopes leads away from the data, but for noise that a short way may follow."""
    bundle = with_step(shifted(tmp_path, slope), step)
    found = climbs_to(bundle, 0.0, seed, rows=1_000, data_seed=seed)["latentga"]
    assert not found.pays and found.steps == 1


def test_few_real_rows_leave_a_gain_in_its_noise(tmp_path: Path) -> None:
    bundle = shifted(tmp_path, SHIFT)
    found = [climbs_to(bundle, 0.1, seed, rows=20, data_seed=seed)["latentga"] for seed in range(8)]
    assert any(climb.closest > 0 for climb in found) and sum(climb.steps > 1 for climb in found) <= 1


def test_the_standard_error_is_the_spread_over_data_and_latents(tmp_path: Path) -> None:
    """Of one step's gain; 40 repetitions know their deviation to 11%."""
    bundle = shifted(tmp_path, SHIFT)
    gains, errors = [], []
    for seed in range(40):
        problem = problem_of(bundle, normal_around(0.4, 200, 100 + seed), CPU)
        real = problem.real.samples
        z = torch.randn(400, 2, generator=torch.Generator().manual_seed(seed))
        rho = discrepancy(YARDSTICK, normal_around(0.4).samples)
        before, after = (ascents._look(z + torch.tensor([shift, 0.0]), real, rho) for shift in (0.0, 0.2))
        gains.append(before.distance - after.distance)
        errors.append(after.error_beside(before))
    assert sum(errors) / 40 == pytest.approx(float(torch.tensor(gains).std()), rel=0.35)


def test_a_look_is_the_distance_that_selects_weights() -> None:
    real, rows = normal_around(0.5, 700, 1).samples, normal_around(0.0, 1_300, 2).samples
    rho = discrepancy(YARDSTICK, real)
    look, own = ascents._look(rows, real, rho), ascents._look(real, real, rho).spread
    assert look.distance - own == pytest.approx(
        HeldOutEnergy(Pool(rows, rows), real, rho).distance(torch.ones(1_300)), rel=1e-4
    )


def test_nobody_looks_further_once_it_got_worse_twice(tmp_path: Path) -> None:
    found = climbs_to(shifted(tmp_path, -SHIFT), SHIFT)["latentga"]
    assert list(found.distances) == [0, 1, 2]
    found = climbs_to(shifted(tmp_path, SHIFT), SHIFT)["latentga"]
    assert list(found.distances) == [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16]


def test_a_climb_that_is_still_gaining_ends_with_the_last_look(tmp_path: Path) -> None:
    found = climbs_to(shifted(tmp_path, SHIFT), 3.0)["latentga"]
    assert list(found.distances) == list(ascents.STEPS) and found.steps == ascents.STEPS[-1]


def test_the_latents_are_those_of_the_seed(tmp_path: Path) -> None:
    bundle = shifted(tmp_path, SHIFT)
    assert climbs_to(bundle, SHIFT) == climbs_to(bundle, SHIFT) != climbs_to(bundle, SHIFT, seed=1)


@pytest.mark.parametrize(("acceptance", "steps"), [(1, (8, 10, 12)), (0.06, (1,))])
def test_a_climb_starts_behind_the_rejection_that_the_bundle_does_by_default(
    tmp_path: Path, acceptance: float, steps: tuple[int, ...]
) -> None:
    """At an acceptance of one nothing is rejected, and the whole way is left."""
    bundle = shifted(tmp_path, SHIFT)
    network = bundle.networks["importance"]
    assert isinstance(network, ImportanceNetwork)
    calibrated = bundle.manifest.model_copy(update={"calibration": calibrate(network, bundle.prior, 0, 20_000)})
    bundle = with_step(replace(bundle, manifest=calibrated), STEP, acceptance=acceptance)
    assert climbs_to(bundle, SHIFT)["latentrsga"].steps in steps


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
    steps = {name: after.manifest.defaults[name].pop("steps") for name in ascents.METHODS}
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
    climbs = {
        "latentga": Climb({0: 0.5, 1: 0.4, 2: 0.25}, 0.01),
        "latentrsga": Climb({0: 0.1, 1: 0.2, 2: 0.09}, 0.02),
    }
    monkeypatch.setattr("training.pilot.add.measure_climbs", lambda *rest: climbs)
    (small / "report.json").write_text("{}")
    assert main(["train", "ascents", "--bundle", str(small), "--data", str(plane), "--device", "cpu"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    gain = "gain 0.25000 ± 0.01000 standard error"
    assert first == f"latentga: steps=2 ({gain}; distance to real rows by steps: 0: 0.50000, 1: 0.40000, 2: 0.25000)"
    assert second.startswith("latentrsga: climbing does not pay beyond the noise; steps=1, the mildest (gain 0.01000")
    assert third == f"the report in {small} is of the steps before: winnow evaluate makes another"


def test_the_rows_are_those_that_training_set_apart(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Dataset] = []

    def remember(bundle: Bundle, problem: Problem, seed: int) -> dict[str, Climb]:
        read.append(problem.real)
        return {}

    monkeypatch.setattr("training.pilot.add.measure_climbs", remember)
    data = Dataset("plane", torch.randn(600, 2))
    tune_ascents(small, data, 0, CPU)
    assert [rows.digest for rows in read] == [split_for_gate(data)[0].digest]


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x.flatten(1)


def test_a_network_that_was_given_is_what_distances_are_taken_in(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[nn.Module | None] = []
    monkeypatch.setattr(
        "training.pilot.add.measure_climbs", lambda bundle, problem, seed: seen.append(problem.features) or {}
    )
    rows = ({0: torch.export.Dim("n")},)
    program = torch.export.export(Doubled().eval(), (torch.zeros(4, 2),), dynamic_shapes=rows)
    torch.export.save(program, tmp_path / "doubled.pt2")
    tune_ascents(small, Dataset("plane", torch.randn(600, 2)), 0, CPU, tmp_path / "doubled.pt2")
    (network,) = seen
    assert torch.equal(features_of(network, torch.ones(1, 2), CPU), torch.full((1, 2), 2.0))


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ({"latentga": {"stepz": 3}}, "stepz"),
        ({"latentrsga": {"projection": "sideways"}}, "projection"),
        ({"latentrsga": {"acceptance": 0.2}}, "calibration"),
    ],
)
def test_defaults_that_do_not_fit_the_bundle_are_refused_in_one_line(
    small: Path, plane: Path, defaults: Defaults, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles.edit(small, lambda document: document.update(defaults=defaults))
    assert main(["train", "ascents", "--bundle", str(small), "--data", str(plane), "--device", "cpu"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and said in error[0]


class Overflowing(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z / (z[:, :1] < 3)


def test_a_generator_that_leaves_the_numbers_is_no_climb_that_does_not_pay(tmp_path: Path) -> None:
    bundle = shifted(tmp_path, SHIFT)
    bundle.networks["generator"] = Overflowing()
    with pytest.raises(TrainingRefused, match="NaN or infinity"):
        climbs_to(bundle, SHIFT)


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
