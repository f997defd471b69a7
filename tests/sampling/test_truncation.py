"""truncation: the law of each coordinate, closed form against draws."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncnorm, uniform

from models.bundle import load_bundle
from models.manifest import PriorSpec
from models.priors import Prior
from sampling.methods import bind
from sampling.randomness import BlockRandomness
from sampling.sampler import Sampler, draw
from sampling.streams import BlockStream
from sampling.truncation import MAX_THRESHOLD, TruncationParameters, truncated
from tests.models import bundles

ROWS = 40_000
NORMAL, UNIFORM = Prior("normal", 2), Prior("uniform", 2)


def rng(seed: int = 3) -> BlockRandomness:
    return BlockStream(seed, ROWS).next()


def bound_sampler(folder: Path, threshold: float | None, kind: str = "normal") -> Sampler:
    bundle = load_bundle(bundles.write(folder / "small"))
    manifest = bundle.manifest.model_copy(update={"prior": PriorSpec(kind=kind, dim=3)})  # type: ignore[arg-type]
    changed = type(bundle)(manifest, bundle.networks, bundle.digest)
    return bind(changed, "truncation", TruncationParameters(threshold=threshold))


@pytest.mark.parametrize("threshold", [0.01, 0.5, 1.0, 2.0, 4.0, MAX_THRESHOLD])
def test_a_normal_coordinate_has_the_truncated_normal_law(threshold: float) -> None:
    z = truncated(NORMAL, threshold, rng()).double().numpy()
    law = truncnorm(-threshold, threshold)
    assert all(kstest(column, law.cdf).pvalue > 1e-4 for column in z.T)
    assert abs(z.var() / law.var() - 1) < 4 * (2 / z.size) ** 0.5
    assert np.abs(z).max() <= np.float32(threshold)
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / ROWS**0.5


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
def test_a_uniform_coordinate_is_uniform_between_the_thresholds(threshold: float) -> None:
    z = truncated(UNIFORM, threshold, rng()).double().numpy()
    law = uniform(-threshold, 2 * threshold)
    assert all(kstest(column, law.cdf).pvalue > 1e-4 for column in z.T)
    assert np.abs(z).max() <= np.float32(threshold)


class Extreme:
    """The ends of what ``doubles`` may give: 0 and the last one below 1."""

    def doubles(self, columns: int) -> torch.Tensor:
        values = torch.full((3, columns), 0.5, dtype=torch.float64)
        values[0], values[1] = 0.0, 1 - 2.0**-53
        return values


@pytest.mark.parametrize(("prior", "threshold"), list(product((NORMAL, UNIFORM), (0.5, 1.0, 8.0))))
def test_the_ends_of_the_uniform_give_finite_latents_at_the_thresholds(prior: Prior, threshold: float) -> None:
    z = truncated(prior, threshold, Extreme())  # type: ignore[arg-type]
    assert z[0].tolist() == [-threshold] * 2
    assert z[1].tolist() == pytest.approx([threshold] * 2, rel=0.05)
    assert z[2].tolist() == [0, 0]


def test_the_upper_tail_is_as_fine_as_the_lower_one() -> None:
    """In float32 no uniform lies within 6e-8 of 1, and nothing beyond 5.4 could come out at the top."""

    class Top:
        def doubles(self, columns: int) -> torch.Tensor:
            return torch.full((1, columns), 1 - 2.0**-40, dtype=torch.float64)

    assert float(truncated(NORMAL, MAX_THRESHOLD, Top())[0, 0]) == pytest.approx(7.046, abs=0.01)  # type: ignore[arg-type]


def test_every_proposal_is_accepted_and_weighed_but_says_nothing_of_w_under_the_prior(tmp_path: Path) -> None:
    sampler = bound_sampler(tmp_path, 1.0)
    block = sampler.propose(BlockStream(0, 32))
    assert (block.cost.proposals, block.cost.accepted, block.cost.importance_rows) == (32, 32, 32)
    assert block.weights is not None and block.weights.shape == (32,)
    assert block.proposed_weights is None and block.samples is None
    assert sampler.expected_acceptance == 1.0
    assert not block.weights.requires_grad


@pytest.mark.parametrize(("kind", "default"), [("normal", 2.0), ("uniform", 0.95)])
def test_the_default_threshold_depends_on_the_prior(tmp_path: Path, kind: str, default: float) -> None:
    given, implied = (bound_sampler(tmp_path, t, kind).propose(BlockStream(1, 64)) for t in (default, None))
    assert torch.equal(given.latents, implied.latents)
    assert float(implied.latents.abs().max()) > 0.9 * default


def test_a_shorter_draw_is_the_beginning_of_a_longer_one(tmp_path: Path) -> None:
    sampler = bound_sampler(tmp_path, 1.0)
    short, long = (draw("truncation", sampler.propose, n, BlockStream(5, 32)).latents for n in (10, 64))
    assert torch.equal(short, long[:10])
    assert len(torch.unique(long, dim=0)) == 64


def test_beyond_a_uniform_prior_there_is_nothing_to_truncate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the uniform prior of small lies in \[-1, 1\]: threshold must be at most 1"):
        bound_sampler(tmp_path, 1.5, "uniform")


@pytest.mark.parametrize("threshold", [0.0, -1.0, 8.1, float("nan"), float("inf"), "wide"])
def test_a_threshold_out_of_range_is_refused(threshold: object) -> None:
    with pytest.raises(ValueError, match="threshold"):
        TruncationParameters(threshold=threshold)  # type: ignore[arg-type]
