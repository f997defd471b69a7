"""Prior and latentRS drawn together: each has its law, and they share what they can."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from training.evaluation.blocks import Rows
from training.evaluation.coupling import Coupled, Weigh, couple

N = 20_000


def pair(weigh: Weigh, cap: float, n: int = N) -> Coupled:
    latents, coins = (torch.Generator().manual_seed(seed) for seed in (1, 2))
    return couple(lambda rows: torch.rand(rows, 1, generator=latents), weigh, cap, n, coins)


def filtered(found: Coupled) -> torch.Tensor:
    return found.filtered(Rows(found.base, None), Rows(found.others, None)).features


def ramp(z: torch.Tensor) -> torch.Tensor:
    return 5 * z[:, 0]


def test_each_side_has_its_law_and_they_differ_in_the_total_variation_between_these() -> None:
    """w = 5x on U[0, 1], whatever its mean: density 2x, distribution x^2, a quarter of the mass moved."""
    found = pair(ramp, cap=5.0)
    assert kstest(found.base[:, 0], "uniform").pvalue > 0.01
    assert kstest(filtered(found)[:, 0], lambda x: x**2).pvalue > 0.01
    share = float(found.moved.float().mean())
    assert share == pytest.approx(1 / 4, abs=4 * (3 / 16 / N) ** 0.5)
    same = ~found.moved
    assert torch.equal(filtered(found)[same], found.base[same])
    assert not (filtered(found)[found.moved] == found.base[found.moved]).any()


def test_above_the_cap_a_weight_counts_as_the_cap() -> None:
    """min(5x, 2): the density is 5x / 1.6 up to 0.4, then 1.25."""

    def law(x: np.ndarray) -> np.ndarray:
        return np.where(x < 0.4, 2.5 * x**2, 0.4 + 2 * (x - 0.4)) / 1.6

    assert kstest(filtered(pair(ramp, cap=2.0))[:, 0].numpy(), law).pvalue > 0.01


@pytest.mark.parametrize("value", [0.5, 1.0, 3.0])
def test_flat_weights_move_nothing(value: float) -> None:
    found = pair(lambda z: torch.full((len(z),), value), cap=3.0, n=500)
    assert not found.moved.any() and torch.equal(filtered(found), found.base)


def test_weights_of_zero_are_told() -> None:
    with pytest.raises(ValueError, match="zero everywhere"):
        pair(lambda z: torch.zeros(len(z)), cap=3.0)


def test_classes_move_with_their_rows() -> None:
    found = Coupled(torch.zeros(3, 1), torch.tensor([True, False, True]), torch.ones(2, 1))
    rows = found.filtered(
        Rows(torch.zeros(3, 2), torch.tensor([5, 6, 7])),
        Rows(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([8, 9])),
    )
    assert rows.features.tolist() == [[1, 2], [0, 0], [3, 4]]
    assert rows.classes is not None and rows.classes.tolist() == [8, 6, 9]
