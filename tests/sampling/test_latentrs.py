"""latentrs samples the law min(w, cap) * prior: closed forms on 2-D priors with a known w."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sqrt

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, norm

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.draw import Draw, RejectionStalled
from sampling.latentrs import accept, propose_latentrs, sample_latentrs
from sampling.sampler import MIN_PROPOSAL_CAP
from sampling.streams import BlockStream
from tests.sampling.laws import KnownWeight, constant, known

NORMAL, UNIFORM = Prior("normal", 2), Prior("uniform", 2)
BLOCK, ROWS = 4_096, 40_000
BINS = 24


@dataclass(frozen=True)
class Law:
    """A prior, a w, and what follows from them on paper: the first coordinate is tilted, the second untouched."""

    prior: Prior
    importance: ImportanceNetwork
    acceptance: float
    mean: float
    variance: float

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Of the first coordinate after rejection, by integrating min(w, cap) times the prior's density."""
        grid = np.linspace(-8, 8, 160_001) if self.prior.kind == "normal" else np.linspace(-1, 1, 20_001)
        z = torch.zeros(len(grid), 2, dtype=torch.float64)
        z[:, 0] = torch.from_numpy(grid)
        kept = self.importance(z).clamp(max=self.importance.cap).numpy()
        mass = np.cumsum(kept * (norm.pdf(grid) if self.prior.kind == "normal" else np.ones_like(grid)))
        return np.interp(x, grid, mass / mass[-1])


def gaussian_bump(z: torch.Tensor) -> torch.Tensor:
    """Proportional to exp(-(x - 1)^2 / 2): the tilted law is N(1/2, 1/2); mean 1 at height sqrt(2) e^(1/4)."""
    return sqrt(2) * exp(0.25) * torch.exp(-((z[:, 0] - 1) ** 2) / 2)


def step(z: torch.Tensor) -> torch.Tensor:
    return 2.0 * (z[:, 0] > 0)


LAWS = {
    # Half-normal: mean sqrt(2 / pi), variance 1 - 2 / pi.
    "half plane": Law(NORMAL, known(step, cap=2.0), 1 / 2, sqrt(2 / pi), 1 - 2 / pi),
    "half plane, cap above w": Law(NORMAL, known(step, cap=5.0), 1 / 5, sqrt(2 / pi), 1 - 2 / pi),
    "smooth": Law(NORMAL, known(gaussian_bump, cap=3.0), 1 / 3, 1 / 2, 1 / 2),
    # Density (1 + x) / 2 on [-1, 1]: mean 1/3, variance 1/3 - 1/9.
    "ramp": Law(UNIFORM, known(lambda z: 1 + z[:, 0], cap=2.0), 1 / 2, 1 / 3, 2 / 9),
    # w exceeds its cap: 4 on x > 0 counts as 2 there, and 1 on x <= 0 stays 1, so 2/3 of the mass lies at x > 0.
    "w above its cap": Law(UNIFORM, known(lambda z: 1.0 + 3.0 * (z[:, 0] > 0), cap=2.0), 3 / 4, 1 / 6, 1 / 3 - 1 / 36),
    "flat": Law(NORMAL, constant(1.0, cap=3.0), 1 / 3, 0.0, 1.0),
}


@pytest.fixture(scope="module", params=LAWS)
def drawn(request: pytest.FixtureRequest) -> tuple[Law, Draw]:
    law = LAWS[request.param]
    return law, sample_latentrs(law.prior, law.importance, ROWS, BlockStream(7, BLOCK))


def test_the_acceptance_rate_is_the_integral_of_w_over_its_cap(drawn: tuple[Law, Draw]) -> None:
    law, draw = drawn
    error = sqrt(law.acceptance * (1 - law.acceptance) / draw.cost.proposals)
    assert abs(draw.cost.acceptance_rate - law.acceptance) < 4 * error


def test_the_mean_and_the_covariance_are_those_of_the_tilted_law(drawn: tuple[Law, Draw]) -> None:
    law, draw = drawn
    other = 1.0 if law.prior.kind == "normal" else 1 / 3
    expected = torch.tensor([[law.variance, 0.0], [0.0, other]])
    mean_error = draw.latents.mean(dim=0) - torch.tensor([law.mean, 0.0])
    assert (mean_error.abs() < 4 * (expected.diagonal() / ROWS).sqrt()).all()
    # A sample covariance of these laws has a deviation of at most sqrt(2 / n) times the deviations' product.
    spread = expected.diagonal().sqrt()
    allowed = 4 * sqrt(2 / ROWS) * spread.outer(spread)
    assert ((draw.latents.T.cov() - expected).abs() < allowed * 1.5).all()


def test_the_histogram_of_accepted_latents_passes_a_chi_square_test(drawn: tuple[Law, Draw]) -> None:
    law, draw = drawn
    first, second = draw.latents.double().numpy().T
    edge = 3.0 if law.prior.kind == "normal" else 1.0
    edges = np.linspace(-edge, edge, BINS + 1)
    if law.prior.kind == "normal":
        edges[0], edges[-1] = -8, 8
    for values, cdf in ((first, law.cdf(edges)), (second, untilted_cdf(law, edges))):
        expected = np.diff(cdf) * ROWS
        counts = np.histogram(values, edges)[0]
        possible = expected > 5
        assert counts[~possible].sum() <= 20
        scale = counts[possible].sum() / expected[possible].sum()
        assert chisquare(counts[possible], expected[possible] * scale).pvalue > 1e-4


def untilted_cdf(law: Law, edges: np.ndarray) -> np.ndarray:
    return norm.cdf(edges) if law.prior.kind == "normal" else (edges + 1) / 2


def test_the_weights_are_those_of_the_latents(drawn: tuple[Law, Draw]) -> None:
    law, draw = drawn
    assert draw.weights is not None and draw.samples is None
    assert draw.latents.shape == (ROWS, 2) and draw.latents.dtype == torch.float32
    torch.testing.assert_close(draw.weights, law.importance(draw.latents))


def test_no_latent_comes_twice(drawn: tuple[Law, Draw]) -> None:
    _, draw = drawn
    assert len(torch.unique(draw.latents, dim=0)) == ROWS


def test_a_flat_weight_accepts_one_in_cap_of_each_block_as_a_binomial_would() -> None:
    blocks, block, cap = 400, 300, 3.0
    stream = BlockStream(1, block)
    counts = torch.tensor(
        [float(propose_latentrs(NORMAL, constant(1.0, cap), stream).cost.accepted) for _ in range(blocks)]
    )
    p = 1 / cap
    assert abs(float(counts.mean()) - block * p) < 4 * sqrt(block * p * (1 - p) / blocks)
    assert float(counts.var()) == pytest.approx(block * p * (1 - p), rel=4 * sqrt(2 / blocks))


def test_acceptance_by_hand() -> None:
    weights = torch.tensor([0.0, 0.0, 1.0, 1.0, 3.0, 9.0])
    uniform = torch.tensor([0.0, 0.5, 0.33, 0.34, 0.999, 0.999])
    assert accept(weights, 3.0, uniform).tolist() == [False, False, True, False, True, True]


def test_a_weight_of_zero_is_never_accepted() -> None:
    draw = sample_latentrs(NORMAL, known(step, cap=2.0), 20_000, BlockStream(2, BLOCK))
    assert (draw.latents[:, 0] > 0).all()
    assert draw.weights is not None and (draw.weights > 0).all()


@pytest.mark.parametrize("shorter", [1, 9, 10, 63])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(shorter: int) -> None:
    importance = ImportanceNetwork(2, hidden=(16,))
    short, long = (sample_latentrs(NORMAL, importance, n, BlockStream(5, 32)) for n in (shorter, 64))
    assert short.weights is not None and long.weights is not None
    assert torch.equal(short.latents, long.latents[:shorter])
    assert torch.equal(short.weights, long.weights[:shorter])


def test_the_seed_decides_and_without_one_every_draw_is_new() -> None:
    def latents(seed: int | None) -> torch.Tensor:
        return sample_latentrs(NORMAL, constant(1.0, 3.0), 8, BlockStream(seed, 32)).latents

    assert torch.equal(latents(1), latents(1))
    assert not torch.equal(latents(1), latents(2))
    assert not torch.equal(latents(None), latents(None))


def test_the_cost_counts_every_evaluated_proposal_and_every_surplus_acceptance() -> None:
    importance = constant(3.0, cap=3.0)
    draw = sample_latentrs(NORMAL, importance, 70, BlockStream(0, 32))
    assert isinstance(importance, KnownWeight)
    assert importance.rows == draw.cost.importance_rows == draw.cost.proposals == 96
    assert draw.cost.accepted == 96 and len(draw.latents) == 70
    few = sample_latentrs(NORMAL, importance, 5, BlockStream(0, 32))
    assert (few.cost.proposals, few.cost.accepted, len(few.latents)) == (32, 32, 5)
    assert (draw.cost.generator_rows, draw.cost.critic_rows, draw.cost.gradient_steps) == (0, 0, 0)


def test_a_weight_of_zero_everywhere_ends_in_an_error_and_not_in_a_sample() -> None:
    with pytest.raises(
        RejectionStalled, match=r"accepted 0 of \d+ proposals and 3 were asked for; use method=prior"
    ) as e:
        sample_latentrs(NORMAL, constant(0.0, 3.0), 3, BlockStream(0, BLOCK))
    proposals = int(str(e.value).split(" of ")[1].split()[0])
    assert MIN_PROPOSAL_CAP <= proposals < MIN_PROPOSAL_CAP + BLOCK


def test_the_cap_of_proposals_can_be_set() -> None:
    with pytest.raises(RejectionStalled, match="of 64 proposals and 40 were asked for"):
        sample_latentrs(NORMAL, constant(1.0, 3.0), 40, BlockStream(0, 32), max_proposals=64)


def test_no_gradient_is_kept() -> None:
    draw = sample_latentrs(NORMAL, ImportanceNetwork(2), 4, BlockStream(0, 32))
    assert draw.weights is not None and not draw.weights.requires_grad
