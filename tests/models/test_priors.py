"""Priors have the law that they are named after."""

from __future__ import annotations

import pytest
import torch

from models.priors import Prior, PriorKind
from sampling.streams import BlockStream

ROWS = 50_000


def drawn(kind: str, dim: int = 3) -> torch.Tensor:
    return Prior(kind, dim).sample(ROWS, torch.Generator().manual_seed(0))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "variance", "fourth"), [("normal", 1.0, 3.0), ("uniform", 1 / 3, 1 / 5)])
def test_the_moments_are_those_of_the_law(kind: str, variance: float, fourth: float) -> None:
    z = drawn(kind)
    assert z.shape == (ROWS, 3) and z.dtype == torch.float32
    assert z.mean(dim=0).abs().max() < 5 * (variance / ROWS) ** 0.5
    torch.testing.assert_close(z.T.cov(), variance * torch.eye(3), atol=0.03, rtol=0)
    torch.testing.assert_close(z.pow(4).mean(dim=0), torch.full((3,), fourth), atol=0, rtol=0.06)


def test_the_uniform_prior_fills_minus_one_to_one_and_nothing_else() -> None:
    z = drawn("uniform")
    assert -1 <= float(z.min()) < -0.999 and 0.999 < float(z.max()) <= 1


def test_the_seed_decides() -> None:
    prior = Prior("normal", 2)
    first, again, other = (prior.sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(prior.sample(5), prior.sample(5))


def test_an_unknown_law_and_a_dimension_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown prior 'cauchy'; known: normal, uniform"):
        Prior("cauchy", 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="latent dimension must be at least 1, not 0"):
        Prior("normal", 0)


@pytest.mark.parametrize(("kind", "std"), [("normal", 1.0), ("uniform", 3**-0.5)])
def test_draws_from_the_numbers_of_a_stream_follow_the_same_law(kind: PriorKind, std: float) -> None:
    z = Prior(kind, 3).draw(BlockStream(0, 40_000).next())
    assert z.shape == (40_000, 3) and z.dtype == torch.float32
    assert float(z.mean()) == pytest.approx(0, abs=4 * std / (3 * 40_000) ** 0.5)
    assert float(z.std()) == pytest.approx(std, rel=0.01)
