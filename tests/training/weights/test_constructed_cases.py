"""No free lunch, and the junk share falls, on generators whose junk is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.weights.cases import JUNK_SHARE, junk_problem, junk_share, perfect_problem, small
from training.weights.train import train_weights

FRESH = torch.Generator().manual_seed(77)
FLAT_STD = 0.1
CASES = {"too average": (0.3, 0.0), "too wide": (2.0, 0.0), "shifted": (1.0, 0.8)}


@pytest.mark.parametrize("objective", ["energy", "transport"])
def test_on_a_perfect_generator_the_weights_stay_flat(objective: str, tmp_path: Path) -> None:
    problem = perfect_problem(16)
    network = train_weights(small(objective), problem, tmp_path).network
    weights = network(problem.prior.sample(5_000, FRESH))
    assert float(weights.std()) < FLAT_STD
    assert float(weights.mean()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("case", CASES)
def test_energy_weights_cut_the_junk_share_by_more_than_a_third(case: str, tmp_path: Path) -> None:
    problem = junk_problem(16, *CASES[case])
    network = train_weights(small("energy"), problem, tmp_path).network
    z = problem.prior.sample(5_000, FRESH)
    assert junk_share(network(z), z) < JUNK_SHARE * 2 / 3


@pytest.mark.parametrize("case", CASES)
def test_selection_on_held_out_data_never_ships_weights_that_are_worse_than_none(case: str, tmp_path: Path) -> None:
    """Raw transport favours too-average junk; the held-out energy distance must refuse it."""
    problem = junk_problem(16, *CASES[case])
    trained = train_weights(small("transport-raw"), problem, tmp_path)
    assert min(score for _, score in trained.history) <= trained.unweighted
    z = problem.prior.sample(5_000, FRESH)
    assert junk_share(trained.network(z), z) < JUNK_SHARE + 0.02
