"""dot lowers its objective along a known smooth critic and stays on the prior."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from models.importance import ImportanceNetwork
from models.manifest import OutputSpec
from models.pilot import DotPilot
from models.priors import Prior
from sampling.dot import (
    LATENT_STEP_SIZE,
    LATENT_STEPS,
    SMOOTHING,
    TARGET_STEP_SIZE,
    TARGET_STEPS,
    DotParameters,
    descend_latents,
    descend_samples,
    descent_direction,
    objective,
    propose_dot,
)
from sampling.draw import Draw
from sampling.methods import bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream
from tests.sampling.ratios import NORMAL, UNIFORM, Counting
from tests.training.ratio_bundles import linear_bundle

TOP = torch.tensor([0.6, -0.2])


def bowl(x: torch.Tensor) -> torch.Tensor:
    """A critic with one smooth top."""
    return -2 * (x - TOP).square().sum(dim=1)


def slope(x: torch.Tensor) -> torch.Tensor:
    return 3.0 * x[:, 0]


def double(z: torch.Tensor) -> torch.Tensor:
    return 2 * z


def starts(prior: Prior, n: int = 500) -> torch.Tensor:
    return prior.sample(n, torch.Generator().manual_seed(1))


def latent(**changes: object) -> DotParameters:
    return DotParameters.model_validate({"space": "latent", **changes}).resolved("latent")


def target(**changes: object) -> DotParameters:
    return DotParameters.model_validate({"space": "target", **changes}).resolved("latent")


def test_the_objective_by_hand() -> None:
    x, y = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.zeros(2, 2)
    torch.testing.assert_close(objective(x, y, slope, 2.0), torch.tensor([5.0 - 4.5, SMOOTHING]))


def test_at_the_start_only_the_critic_pulls_and_away_from_it_the_start_pulls_with_force_one() -> None:
    y = starts(NORMAL)
    torch.testing.assert_close(descent_direction(y, y, slope, 2.0), torch.tensor([[-1.5, 0.0]]).expand(500, 2))
    away = y + torch.tensor([0.0, 0.7])
    torch.testing.assert_close(
        descent_direction(away, y, lambda x: 0 * x[:, 0], 2.0), torch.tensor([[0.0, 1.0]]).expand(500, 2),
        atol=1e-4, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("prior", [NORMAL, UNIFORM], ids=["normal", "uniform"])
def test_latent_descent_lowers_the_objective_of_every_sample(prior: Prior) -> None:
    z = starts(prior)
    end = descend_latents(prior, double, bowl, 1.0, latent(step_size=0.01, steps=30), z)

    def score(at: torch.Tensor) -> torch.Tensor:
        return bowl(double(at))

    fallen = objective(z, z, score, 1.0) - objective(end, z, score, 1.0)
    assert fallen.min() > -0.01 and fallen.median() > 0.1
    assert (bowl(double(end)) - bowl(double(z))).mean() > 0.1


def test_target_descent_lowers_the_objective_of_every_sample() -> None:
    """But for those at the top: Adam's steps there are as long, and their signs are those of rounding errors. -0.0108
    on one processor, above -0.01 on another."""
    y = starts(UNIFORM)
    end = descend_samples(bowl, 1.0, target(), y)
    fallen = objective(y, y, bowl, 1.0) - objective(end, y, bowl, 1.0)
    assert fallen.min() > -0.02 and fallen.median() > 0.1


def test_target_descent_ends_where_the_forces_balance() -> None:
    """|grad D| / K = 1 at distance K / 4 from the top of the bowl: samples further out stop there, inner ones stay
    put, but for Adam's last steps of 0.001 in each coordinate."""
    y = starts(UNIFORM)
    end = descend_samples(bowl, 1.0, target(step_size=0.002).model_copy(update={"steps": 1_000}), y)
    before, after = (y - TOP).norm(dim=1), (end - TOP).norm(dim=1)
    outer = before > 0.27
    assert (after[outer] - 0.25).abs().max() < 0.01
    inner = before < 0.2
    assert (end - y).norm(dim=1)[inner].max() < 0.01


def test_a_larger_constant_moves_samples_less() -> None:
    y = starts(UNIFORM)
    moved = [(descend_samples(bowl, k, target(), y) - y).norm(dim=1).mean() for k in (0.5, 1.0, 2.0, 4.0)]
    assert moved == sorted(moved, reverse=True)


def test_ten_steps_keep_the_norm_of_every_latent_under_a_normal_prior_and_the_cube_under_a_uniform_one() -> None:
    z = starts(NORMAL)
    end = descend_latents(NORMAL, double, bowl, 1.0, latent(), z)
    torch.testing.assert_close(end.norm(dim=1), z.norm(dim=1))
    assert (end - z).norm(dim=1).median() > 0.1
    far = descend_latents(UNIFORM, double, lambda x: 50 * x.sum(dim=1), 1.0, latent(), starts(UNIFORM))
    assert far.abs().max() == 1.0


def test_samples_in_target_space_stay_within_the_range_of_values() -> None:
    end = descend_samples(lambda x: 50 * x.sum(dim=1), 1.0, target(), starts(UNIFORM), limits=(-1.0, 1.0))
    assert end.max() == 1.0 and end.min() >= -1.0


def sample(
    parameters: DotParameters, n: int = 64, prior: Prior = UNIFORM, block: int = 32
) -> tuple[Draw, Counting, Counting]:
    generator, critic = Counting(double), Counting(bowl)
    if parameters.space == "target":
        descend = partial(descend_samples, critic, 1.0, parameters)
    else:
        descend = partial(descend_latents, prior, generator, critic, 1.0, parameters)
    importance = ImportanceNetwork(2, hidden=(8,))
    propose = partial(propose_dot, prior, generator, descend, importance, parameters)
    return draw("dot", propose, n, BlockStream(5, 32)), generator, critic


def test_in_latent_space_the_latents_decode_to_the_samples() -> None:
    drawn, generator, critic = sample(latent())
    assert drawn.samples is not None
    assert torch.equal(drawn.samples, double(drawn.latents))
    cost = drawn.cost
    assert cost.gradient_steps == 64 * LATENT_STEPS
    # Backward rows are counted like forward ones; the last decoding has no backward.
    assert critic.rows == 64 * LATENT_STEPS and cost.critic_rows == 2 * critic.rows
    assert generator.rows == 64 * (LATENT_STEPS + 1) and cost.generator_rows == 64 * (2 * LATENT_STEPS + 1)
    assert (cost.proposals, cost.accepted, cost.importance_rows) == (64, 64, 64)


def test_in_target_space_the_latents_are_those_of_the_starts_and_decoded_once() -> None:
    drawn, generator, critic = sample(target())
    still, _, _ = sample(target(steps=0))
    assert drawn.samples is not None and still.samples is not None
    assert torch.equal(drawn.latents, still.latents) and torch.equal(still.samples, double(still.latents))
    assert not torch.equal(drawn.samples, still.samples)
    cost = drawn.cost
    assert generator.rows == cost.generator_rows == 64
    assert critic.rows == cost.gradient_steps == 64 * TARGET_STEPS and cost.critic_rows == 2 * critic.rows


@pytest.mark.parametrize("parameters", [latent(), target()], ids=["latent", "target"])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(parameters: DotParameters) -> None:
    short, long = (sample(parameters, n)[0] for n in (10, 64))
    assert torch.equal(short.latents, long.latents[:10])
    assert short.samples is not None and long.samples is not None
    assert torch.equal(short.samples, long.samples[:10])


def test_each_space_has_its_published_defaults() -> None:
    assert DotParameters().resolved("target") == DotParameters(
        space="target", steps=TARGET_STEPS, step_size=TARGET_STEP_SIZE
    )
    assert DotParameters().resolved("latent") == DotParameters(
        space="latent", steps=LATENT_STEPS, step_size=LATENT_STEP_SIZE
    )
    assert DotParameters(space="latent", steps=3).resolved("target").steps == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", -1), ("steps", 101), ("step_size", 0), ("step_size", float("nan")), ("space", "middle"),
     ("projection", "middle")],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        DotParameters.model_validate({name: value})


def test_more_steps_move_fewer_rows_at_once_so_that_a_turn_stays_as_long(tmp_path: Path) -> None:
    """An image turn is 10 steps of a whole block whatever the space; 100 steps of points are as cheap."""
    bundle = linear_bundle(tmp_path)
    constants = DotPilot(target_constant=1, latent_constant=1, pairs=1, repeats=1, seed=0)
    pilot = bundle.manifest.pilot.model_copy(update={"dot": constants})

    def block(kind: str, **parameters: object) -> int:
        output = OutputSpec.model_validate({"kind": kind, "shape": (2,)})
        manifest = bundle.manifest.model_copy(update={"pilot": pilot, "output": output})
        chosen = DotParameters.model_validate(parameters)
        return bind(replace(bundle, manifest=manifest), "dot", chosen, BlockSizes(512, 32)).block

    assert [block("image", steps=steps) for steps in (0, 1, 10, 20, 100)] == [32, 32, 32, 16, 3]
    assert block("image") == 32 and block("image", space="target") == 3
    assert block("points") == block("points", space="latent", steps=100) == 32


def test_a_projection_that_the_prior_cannot_take_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path)
    constants = DotPilot(target_constant=1, latent_constant=1, pairs=1, repeats=1, seed=0)
    prior = bundle.manifest.prior.model_copy(update={"kind": "uniform"})
    pilot = bundle.manifest.pilot.model_copy(update={"dot": constants})
    bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"pilot": pilot, "prior": prior}))
    with pytest.raises(ValueError, match="projection=printed is for normal priors"):
        bind(bundle, "dot", DotParameters(space="latent", projection="printed"))
    assert bind(bundle, "dot", DotParameters(space="latent")).method == "dot"
