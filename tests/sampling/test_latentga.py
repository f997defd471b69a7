"""latentga and latentrsga: where their climbs start, what they cost, and that n = 10 begins n = 64."""

from __future__ import annotations

import pytest
import torch

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.ascent import AscentParameters, trajectory
from sampling.draw import Cost
from sampling.latentga import propose_latentga
from sampling.latentrs import propose_latentrs
from sampling.latentrsga import LatentRSGAParameters, propose_latentrsga
from sampling.methods import bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream
from tests.sampling.laws import known, ramp_bundle

PRIOR = Prior("normal", 4)
STEPS = AscentParameters(steps=5, step_size=0.5)
BOTH = LatentRSGAParameters(steps=5, step_size=0.5)


def network() -> ImportanceNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ImportanceNetwork(4, hidden=(32,))
        torch.nn.init.normal_(made.body[-1].weight)  # type: ignore[arg-type]
    return made.requires_grad_(False)


NETWORK = network()


def test_latentga_climbs_from_the_priors_own_latents() -> None:
    start = PRIOR.draw(BlockStream(1, 64).next())
    block = propose_latentga(PRIOR, NETWORK, STEPS, BlockStream(1, 64))
    path = trajectory(PRIOR, NETWORK, start, STEPS)
    assert torch.equal(block.latents, path.latents[-1]) and not torch.equal(block.latents, start)
    assert block.weights is not None and block.proposed_weights is not None
    assert torch.equal(block.proposed_weights, path.weights[0])
    torch.testing.assert_close(block.weights, NETWORK(block.latents))
    assert block.weights.mean() > block.proposed_weights.mean() + 0.1
    assert block.cost == Cost(proposals=64, accepted=64, importance_rows=64 * 11, gradient_steps=64 * 5)


def test_latentrsga_climbs_from_what_latentrs_accepts_and_from_nothing_else() -> None:
    accepted = propose_latentrs(PRIOR, NETWORK, BlockStream(1, 64))
    block = propose_latentrsga(PRIOR, NETWORK, BOTH, BlockStream(1, 64))
    path = trajectory(PRIOR, NETWORK, accepted.latents, BOTH)
    rows = accepted.cost.accepted
    assert 0 < rows < 64
    assert torch.equal(block.latents, path.latents[-1])
    assert block.weights is not None and torch.equal(block.weights, path.weights[-1])
    assert block.proposed_weights is not None and len(block.proposed_weights) == 64
    assert block.cost == Cost(proposals=64, accepted=rows, importance_rows=64 + rows * 11, gradient_steps=rows * 5)


def test_latentrsga_where_nothing_passes_climbs_nothing() -> None:
    nowhere = known(lambda z: 0 * z[:, 0], cap=3.0)
    block = propose_latentrsga(PRIOR, nowhere, BOTH, BlockStream(1, 64))
    assert block.latents.shape == (0, 4) and block.cost == Cost(proposals=64, importance_rows=64)


@pytest.mark.parametrize("method", ["latentga", "latentrsga"])
@pytest.mark.parametrize("shorter", [1, 10, 63])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(method: str, shorter: int) -> None:
    def drawn(n: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        sampler = bind(ramp_bundle(), method, sizes=BlockSizes(latents=64))
        made = draw(method, sampler.propose, n, BlockStream(5, sampler.block))
        return made.latents, made.weights

    (short, short_weights), (long, long_weights) = drawn(shorter), drawn(64)
    assert short_weights is not None and long_weights is not None
    assert torch.equal(short, long[:shorter]) and torch.equal(short_weights, long_weights[:shorter])


def test_latentga_expects_to_keep_all_and_latentrsga_what_latentrs_does() -> None:
    assert bind(ramp_bundle(), "latentga").expected_acceptance == 1
    assert bind(ramp_bundle(), "latentrsga").expected_acceptance == 0.5


def test_latentrsga_proposes_so_many_that_as_many_climb_together_as_in_latentga() -> None:
    """A half passes here, unless the dial is turned or a block of weighed latents is full."""
    alone = bind(ramp_bundle(), "latentga", AscentParameters(steps=20)).block
    blocks = {
        rate: bind(ramp_bundle(), "latentrsga", LatentRSGAParameters(steps=20, acceptance=rate)).block
        for rate in (None, 0.8, 1.0)
    }
    assert blocks == {None: 2 * alone, 0.8: alone * 5 // 4, 1.0: alone}
    assert bind(ramp_bundle(), "latentrsga", sizes=BlockSizes(latents=4)).block == 2
    assert bind(ramp_bundle(None), "latentrsga", LatentRSGAParameters(steps=20)).block == alone


@pytest.mark.parametrize("method", ["latentga", "latentrsga"])
def test_a_projection_that_the_prior_cannot_take_is_refused_when_bound(method: str) -> None:
    parameters = {"latentga": AscentParameters, "latentrsga": LatentRSGAParameters}[method](projection="tangent")
    with pytest.raises(ValueError, match="projection=tangent is for normal priors"):
        bind(ramp_bundle(), method, parameters)
