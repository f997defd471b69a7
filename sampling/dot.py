"""``dot``: discriminator optimal transport, samples moved along a Wasserstein critic (Tanaka 2019)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block, every
from sampling.draw import Cost
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.projection import PROJECTION_TEXT, Projection, norm_of, resolve_projection, step_along
from sampling.sampler import BlockSizes, Sampler, rows_for_steps
from sampling.streams import Stream

Space = Literal["latent", "target"]
Network = Callable[[torch.Tensor], torch.Tensor]

SMOOTHING = 1e-3
"""Inside the norm, so that it has a gradient at the start: sqrt(|d|^2 + 0.001^2). The published code adds it to every
coordinate instead, |d + 0.001|, which pulls every start with full strength towards (-1, .., -1)."""
TARGET_DECAY = 0.9
"""Of Adam's second moment in target space; the first moment is off (betas 0 and 0.9, as published for 2-D)."""
TARGET_EPSILON = 1e-8
TARGET_STEPS, TARGET_STEP_SIZE = 100, 0.01
LATENT_STEPS, LATENT_STEP_SIZE = 10, 0.05
MAX_STEPS = 100
"""The most that was published (target space, 2-D)."""


class DotParameters(Parameters):
    """What a request may set of DOT; None stands for the published default of the space."""

    space: Annotated[
        Space | None,
        Field(
            description="'latent': descend in latent space (default for images). 'target': move the samples "
            "themselves (default for points); no latent decodes to them, the latents returned are the starts."
        ),
    ] = None
    steps: Annotated[
        int | None,
        Field(ge=0, le=MAX_STEPS, description="Descent steps; default 10 in latent space, 100 in target space."),
    ] = None
    step_size: Annotated[
        float | None,
        Field(
            gt=0,
            le=10,
            description="Step size: default 0.05 (plain descent in latent space), 0.01 (Adam in target space).",
        ),
    ] = None
    projection: Annotated[Projection | None, Field(description=f"In latent space. {PROJECTION_TEXT}")] = None

    def resolved(self, default_space: Space) -> DotParameters:
        """With every None replaced by its default."""
        space = self.space or default_space
        steps, step_size = (TARGET_STEPS, TARGET_STEP_SIZE) if space == "target" else (LATENT_STEPS, LATENT_STEP_SIZE)
        return DotParameters(
            space=space,
            steps=steps if self.steps is None else self.steps,
            step_size=step_size if self.step_size is None else self.step_size,
            projection=self.projection,
        )


def objective(points: torch.Tensor, starts: torch.Tensor, score: Network, lipschitz: float) -> torch.Tensor:
    """|points - starts| - score(points) / lipschitz, [n]: what DOT lowers."""
    moved = (points - starts).flatten(1).square().sum(dim=1)
    return (moved + SMOOTHING**2).sqrt() - score(points) / lipschitz


def descent_direction(points: torch.Tensor, starts: torch.Tensor, score: Network, lipschitz: float) -> torch.Tensor:
    """Gradient of each row's own objective, in the shape of ``points``."""
    with torch.enable_grad():
        at = points.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(at, starts, score, lipschitz).sum(), at)
    return gradient


def descend_latents(
    prior: Prior, generator: Network, critic: Network, lipschitz: float, parameters: DotParameters, starts: torch.Tensor
) -> torch.Tensor:
    """Latents [n, dim] after ``parameters.steps`` steps of gradient descent from ``starts``."""
    assert parameters.steps is not None and parameters.step_size is not None
    projection = resolve_projection(prior, parameters.projection)
    norm, z = norm_of(starts), starts
    for _ in range(parameters.steps):
        gradient = descent_direction(z, starts, lambda at: critic(generator(at)), lipschitz)
        z = step_along(prior, z, -gradient, parameters.step_size, projection, norm)
    return z


def descend_samples(
    critic: Network,
    lipschitz: float,
    parameters: DotParameters,
    starts: torch.Tensor,
    limits: tuple[float, float] | None = None,
) -> torch.Tensor:
    """Samples [n, ...] after ``parameters.steps`` steps of Adam from ``starts``, kept within ``limits``."""
    assert parameters.steps is not None and parameters.step_size is not None
    x, second = starts, torch.zeros_like(starts)
    for step in range(1, parameters.steps + 1):
        gradient = descent_direction(x, starts, critic, lipschitz)
        second = TARGET_DECAY * second + (1 - TARGET_DECAY) * gradient.square()
        scale = (second / (1 - TARGET_DECAY**step)).sqrt() + TARGET_EPSILON
        x = x - parameters.step_size * gradient / scale
        x = x if limits is None else x.clamp(*limits)
    return x


@torch.no_grad()
def propose_dot(
    prior: Prior,
    generator: Network,
    descend: Callable[[torch.Tensor], torch.Tensor],
    importance: ImportanceNetwork | None,
    parameters: DotParameters,
    stream: Stream,
) -> Block:
    """The next block of ``stream``, moved; nothing is rejected.

    Latent space: the latents are the moved ones and decode to the samples. Target space: no latent decodes to the
    samples; the latents (and their weights) are those that the samples started from. Counts forward and backward.
    """
    rows = stream.block
    latents = prior.draw(stream.next()).to(stream.device)
    steps = parameters.steps or 0
    moves = 2 * rows * steps  # one forward and one backward row each
    if parameters.space == "target":
        samples, through_generator = descend(generator(latents)), 0
    else:
        latents = descend(latents)
        samples, through_generator = generator(latents), moves
    weights = None if importance is None else importance(latents)
    cost = Cost(
        proposals=rows,
        accepted=rows,
        importance_rows=0 if weights is None else rows,
        generator_rows=rows + through_generator,
        critic_rows=moves,
        gradient_steps=rows * steps,
    )
    return Block(latents, weights, cost, every(latents), samples=samples)


def _bind(bundle: Bundle, parameters: DotParameters, sizes: BlockSizes) -> Sampler:
    """A turn costs up to 30 plain decodes of 32 images, whatever the steps.

    Of 32 images a latent step (forward and backward of generator and critic) takes as long as 2 to 3 decodes, a step
    in target space (critic alone) 0.7. Points are so cheap that their published 100 steps take a whole block.
    """
    pilot, output = bundle.manifest.pilot.dot, bundle.manifest.output
    assert pilot is not None
    parameters = parameters.resolved("latent" if output.kind == "image" else "target")
    critic = bundle.networks["wasserstein_critic"]
    if parameters.space == "target":
        limits = output.range
        descend = partial(descend_samples, critic, pilot.target_constant, parameters, limits=limits)
    else:
        resolve_projection(bundle.prior, parameters.projection)
        constant = pilot.latent_constant
        descend = partial(descend_latents, bundle.prior, bundle.generator, critic, constant, parameters)
    propose = partial(propose_dot, bundle.prior, bundle.generator, descend, bundle.importance, parameters)
    usual = LATENT_STEPS if output.kind == "image" else TARGET_STEPS
    block = rows_for_steps(sizes.decoded, parameters.steps or 0, usual)
    return Sampler("dot", propose, block, parameters, 1.0, decodes=True)


METHOD = Method(
    "dot",
    "samples moved along a Wasserstein critic, in latent or target space",
    _bind,
    needs=("wasserstein_critic",),
    pilot=("dot",),
    parameters=DotParameters,
)
