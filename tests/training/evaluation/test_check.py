"""The gate passes weights that reject junk, and no others."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
import torch
from torch import nn

from models.bundle import Bundle
from tests.training.evaluation.constructed import bundle_around, weigh_by
from training.data.dataset import DataError, Dataset
from training.data.synthetic import standard_normal
from training.evaluation.check import check_enough_for_gate, check_weights, split_for_gate
from training.evaluation.gate import Limits
from training.pipeline import with_weights
from training.presets import WEIGHTS_PRESETS
from training.weights.cases import make_case, sized
from training.weights.energy import EnergyObjective
from training.weights.held_out import HeldOutEnergy
from training.weights.problem import Problem
from training.weights.train import train_weights

CPU = torch.device("cpu")
DIM = 4
FLIPPED = (1.0, 1.0)


def judged(bundle: Bundle, data: Dataset, limits: Limits = Limits()) -> dict[str, object]:  # noqa: B008
    held_out, rest = split_for_gate(data)
    return check_weights(bundle, held_out, rest, limits, 0, CPU)


def trained(problem: Problem, folder: Path, objective: str = "energy") -> Bundle:
    """The objective's weights; training never sees the gate's rows."""
    _, rest = split_for_gate(problem.real)
    config = replace(sized(WEIGHTS_PRESETS[objective], 100), hidden=(32, 32), pool_rows=4_000, held_out_rows=1_000)
    network = train_weights(config, replace(problem, real=rest), folder).network
    bundle = bundle_around(problem.generator, DIM, problem.prior.dim)
    return with_weights(bundle, network, objective)


def test_weights_that_learned_to_reject_junk_pass(tmp_path: Path) -> None:
    problem = make_case("shifted", DIM).problem
    found = judged(trained(problem, tmp_path), problem.real)
    assert found["verdict"] == "passed", found["reason"]


def test_weights_trained_with_the_sign_of_the_reward_flipped_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, held_out, gain = EnergyObjective.loss, HeldOutEnergy.__call__, HeldOutEnergy.gain
    monkeypatch.setattr(EnergyObjective, "loss", lambda *args: -loss(*args))
    # Or selection would stay flat:
    monkeypatch.setattr(HeldOutEnergy, "__call__", lambda *args: -held_out(*args))
    monkeypatch.setattr(HeldOutEnergy, "gain", lambda *args: (-gain(*args)[0], gain(*args)[1]))
    problem = make_case("shifted", DIM).problem
    found = judged(trained(problem, tmp_path), problem.real)
    assert found["verdict"] == "rejected" and "worse than the prior" in str(found["reason"])


def test_selection_alone_keeps_a_flipped_objective_flat_and_flat_weights_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = EnergyObjective.loss
    monkeypatch.setattr(EnergyObjective, "loss", lambda *args: -loss(*args))
    problem = make_case("shifted", DIM).problem
    assert judged(trained(problem, tmp_path), problem.real)["verdict"] == "rejected"


def test_weights_that_are_noise_independent_of_the_sample_are_rejected() -> None:
    class Ignoring(nn.Module):
        """Junk by the first latent, the last one does nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.junk = make_case("shifted", DIM).problem.generator

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.junk(z[:, :-1])
            return made

    data = standard_normal(DIM, 8_000, seed=1)
    noise = weigh_by(bundle_around(Ignoring(), DIM, DIM + 2), DIM + 1, slope=8.0)
    assert judged(noise, data)["verdict"] == "rejected"
    # The same network on the coordinate that decides about junk passes: it is the noise that is rejected.
    knowing = weigh_by(bundle_around(Ignoring(), DIM, DIM + 2), 0, slope=-8.0)
    assert judged(knowing, data)["verdict"] == "passed"


@pytest.mark.parametrize("objective", ["energy", "energy-laplace", "transport", "transport-raw"])
def test_weights_of_any_objective_for_a_perfect_generator_are_rejected(objective: str, tmp_path: Path) -> None:
    problem = make_case("perfect", DIM).problem
    assert judged(trained(problem, tmp_path, objective), problem.real)["verdict"] == "rejected"


def test_noise_that_an_objective_learned_from_a_perfect_generator_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.weights.train.SURE", -inf)
    monkeypatch.setattr("training.weights.run.is_best", lambda *_: True)
    problem = make_case("perfect", DIM).problem
    bundle = trained(problem, tmp_path, "transport-raw")
    assert bundle.importance is not None
    assert float(bundle.importance(bundle.prior.sample(1_000)).std()) > 0.05
    assert judged(bundle, problem.real)["verdict"] == "rejected"


def test_the_limits_decide() -> None:
    data = standard_normal(DIM, 8_000, seed=1)
    good = weigh_by(bundle_around(make_case("shifted", DIM).problem.generator, DIM, DIM + 1), 0, slope=-8.0)
    assert judged(good, data)["verdict"] == "passed"
    strict = judged(good, data, Limits(minimum_effect=0.99))
    assert strict["verdict"] == "rejected" and "99%" in str(strict["reason"])


def test_the_rows_of_the_gate_are_kept_from_training_and_selection() -> None:
    data = Dataset("numbered", torch.arange(1_000.0)[:, None])
    held_out, rest = split_for_gate(data)
    problem = Problem(make_case("shifted", DIM).problem.prior, nn.Identity(), None, rest, CPU)
    selection, training = problem.split_real(200)
    parts = [set(part.samples.flatten().tolist()) for part in (held_out, selection, training)]
    assert [len(part) for part in parts] == [200, 200, 600]
    assert len(set.union(*parts)) == 1_000


def test_data_too_small_for_the_gate_is_refused_before_training() -> None:
    check_enough_for_gate(Dataset("enough", torch.zeros(1_000, 1)))
    with pytest.raises(DataError, match="needs 1000; add samples, or give --no-gate"):
        check_enough_for_gate(Dataset("few", torch.zeros(999, 1)))
    with pytest.raises(DataError, match="9 training samples; at least 10"):
        split_for_gate(Dataset("fewer", torch.zeros(9, 1)))
