"""The ascent: h rises, the tangent projection keeps the norm, w = 0 moves, what is above the cap does not."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.ascent import AscentParameters, Trajectory, ascent_block, trajectory
from sampling.projection import Projection
from sampling.sampler import BlockSizes
from sampling.streams import BlockStream
from tests.sampling.laws import KnownWeight, known

NORMAL, UNIFORM = Prior("normal", 8), Prior("uniform", 8)
TARGET = torch.linspace(-1, 1, 8)
HILL = known(lambda z: 1 - (z - TARGET).square().sum(dim=1) / 8, cap=3.0, head="bounded")


def start(prior: Prior, n: int = 200, seed: int = 0) -> torch.Tensor:
    return prior.draw(BlockStream(seed, n).next())


def climb(
    importance: ImportanceNetwork,
    latents: torch.Tensor,
    prior: Prior = NORMAL,
    steps: int = 10,
    step_size: float = 0.05,
    projection: Projection | None = None,
) -> Trajectory:
    return trajectory(
        prior, importance, latents, AscentParameters(steps=steps, step_size=step_size, projection=projection)
    )


@pytest.mark.parametrize("head", ["bounded", "relu"])
@pytest.mark.parametrize("projection", ["tangent", "none"])
def test_each_small_step_raises_the_weight(head: str, projection: Projection) -> None:
    hill = known(HILL.formula, cap=30.0, head=head)  # type: ignore[arg-type]
    path = climb(hill, start(NORMAL), projection=projection)
    heights = torch.stack([hill.score(z) for z in path.latents])
    assert (heights[1:] > heights[:-1]).all()


def test_a_step_by_hand() -> None:
    """Along the gradient of w itself for the ReLU head, of log w for the bounded one; no projection."""
    slope = torch.tensor([0.5, -1.0])
    z = torch.tensor([[1.0, 0.2], [0.0, 0.3]])
    for head, factor in (("relu", torch.ones(2)), ("bounded", 1 - torch.sigmoid(2 + z @ slope))):
        flat = known(lambda z: 2 + z @ slope, cap=4.0, head=head)  # type: ignore[arg-type]
        path = climb(flat, z, Prior("normal", 2), steps=1, step_size=0.1, projection="none")
        torch.testing.assert_close(path.latents[1], z + 0.1 * factor.unsqueeze(1) * slope)


def test_the_tangent_projection_keeps_the_norm_and_the_printed_one_does_not() -> None:
    z = start(NORMAL)
    norms = {
        name: climb(HILL, z, steps=20, step_size=0.1, projection=name).latents.norm(dim=2)
        for name in ("tangent", "printed", "none")
    }
    torch.testing.assert_close(norms["tangent"], norms["tangent"][:1].expand(21, -1), rtol=1e-5, atol=0)
    for name in ("printed", "none"):
        assert ((norms[name][-1] / norms[name][0] - 1).abs() > 0.02).float().mean() > 0.9


def test_the_printed_projection_overshoots_but_never_leaves_the_numbers() -> None:
    path = climb(HILL, 20 * start(NORMAL), steps=20, step_size=0.5, projection="printed")
    assert path.latents.abs().max() > 1e6
    assert torch.isfinite(path.latents).all()


def test_normal_latents_are_projected_unless_told_otherwise() -> None:
    z = start(NORMAL)
    assert torch.equal(climb(HILL, z).latents, climb(HILL, z, projection="tangent").latents)


def test_uniform_latents_stay_in_the_cube_and_reach_its_wall() -> None:
    slope = known(lambda z: z.sum(dim=1), cap=30.0)
    z = start(UNIFORM)
    path = climb(slope, z, UNIFORM, steps=5, step_size=0.5)
    assert torch.equal(path.latents[-1], torch.ones(200, 8))
    free = climb(slope, z, UNIFORM, steps=1, step_size=0.01).latents
    inside = z < 0.98
    assert (free[1] > free[0])[inside].all()  # no projection takes anything away


def test_a_weight_of_zero_moves_with_either_head() -> None:
    dead = known(lambda z: z[:, 0] - 4, cap=3.0)
    z = start(NORMAL)
    path = climb(dead, z, step_size=0.1)
    assert (path.weights[0] == 0).all()
    assert (path.latents[-1, :, 0] > z[:, 0] + 0.05).float().mean() > 0.9
    underflowing = known(lambda z: z[:, 0] - 200, cap=3.0, head="bounded")
    path = climb(underflowing, z, step_size=0.1)
    assert (path.weights[0] == 0).all()
    assert (path.latents[-1, :, 0] > z[:, 0] + 0.05).float().mean() > 0.9


def test_what_is_above_the_cap_stays_bit_for_bit_and_the_rest_stops_once_there() -> None:
    slope = known(lambda z: 2 + z[:, 0], cap=2.5)
    path = climb(slope, start(NORMAL), steps=30, step_size=0.1)
    done = path.weights[:-1] >= 2.5
    assert 0.2 < done[0].float().mean() < 0.4 < done[-1].float().mean()
    moved = (path.latents[1:] != path.latents[:-1]).any(dim=2)
    assert torch.equal(moved, ~done)
    assert (path.latents[-1] == path.latents[0])[done[0]].all()


def test_the_weights_are_those_of_the_latents_and_the_path_begins_at_its_start() -> None:
    z = start(NORMAL)
    path = climb(HILL, z)
    assert path.latents.shape == (11, 200, 8) and path.weights.shape == (11, 200)
    assert torch.equal(path.latents[0], z)
    for latents, weights in zip(path.latents, path.weights, strict=True):
        torch.testing.assert_close(weights, HILL(latents))


def test_a_longer_climb_begins_as_a_shorter_one() -> None:
    z = start(NORMAL)
    assert torch.equal(climb(HILL, z, steps=4).latents, climb(HILL, z, steps=9).latents[:5])


def test_the_cost_counts_forward_and_backward_rows() -> None:
    hill = known(HILL.formula, cap=3.0, head="bounded")  # type: ignore[arg-type]
    assert isinstance(hill, KnownWeight)
    cost = climb(hill, start(NORMAL, 50), steps=7).cost
    assert hill.rows == 50 * 8
    assert (cost.gradient_steps, cost.importance_rows) == (50 * 7, hill.rows + 50 * 7)
    assert (cost.proposals, cost.accepted) == (0, 0)


def test_no_graph_is_kept_and_no_gradient_mode_is_needed() -> None:
    network = ImportanceNetwork(8, hidden=(16,))
    torch.nn.init.normal_(network.body[-1].weight)  # type: ignore[arg-type]
    with torch.no_grad():
        path = climb(network, start(NORMAL), step_size=1.0)
    assert not path.latents.requires_grad and not path.weights.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert path.weights[-1].mean() > path.weights[0].mean()
    assert torch.equal(path.latents, climb(network, start(NORMAL), step_size=1.0).latents)
    assert torch.is_grad_enabled()


def test_a_latent_of_zero_and_no_latents_at_all_are_no_error() -> None:
    assert torch.isfinite(climb(HILL, torch.zeros(1, 8)).latents).all()
    empty = climb(HILL, torch.zeros(0, 8))
    assert empty.latents.shape == (11, 0, 8) and empty.weights.shape == (11, 0)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps": 101}, {"step_size": 0}, {"step_size": 11}, {"projection": "spherical"}, {"n": 1}]
)
def test_parameters_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        AscentParameters(**wrong)  # type: ignore[arg-type]


def test_more_steps_climb_with_fewer_rows_so_that_a_turn_stays_as_long() -> None:
    sizes = BlockSizes(512, 32)
    blocks = {steps: ascent_block(sizes, steps) for steps in (1, 10, 11, 40, 100, 200)}
    assert blocks == {1: 128, 10: 128, 11: 116, 40: 32, 100: 12, 200: 6}
    assert ascent_block(BlockSizes(8, 8), 100) == 1
