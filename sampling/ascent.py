"""Gradient ascent on the importance weight in the latent space (Issenhuth et al. 2022, algorithms 4 and 5).

What is climbed. The paper ascends w, whose gradient is zero where a ReLU head gives w = 0: such a latent never moves.
Here the pre-activation h is climbed, in the paper's own step scale: the direction is grad h for the ReLU head (equal
to grad w wherever w > 0) and grad log w = (1 - w/m) grad h for the bounded head (equal to grad w at the mean weight
w = 1, alive at w = 0, and fading out at the cap, above which a weight means nothing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.draw import Cost
from sampling.parameters import Parameters
from sampling.projection import PROJECTION_TEXT, Projection, norm_of, resolve_projection, step_along
from sampling.sampler import BlockSizes, rows_for_steps

DEFAULT_STEPS, MAX_STEPS = 10, 100
"""The papers' grid ends at 50."""


class AscentParameters(Parameters):
    """Of ``latentga``, and of the ascent of ``latentrsga``."""

    steps: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_STEPS,
            description="Steps of the ascent; a bundle's default is measured for its weights and step size.",
        ),
    ] = DEFAULT_STEPS
    step_size: Annotated[
        float,
        Field(gt=0, le=10, description="Length of a step in latent units for a gradient of log w of length one."),
    ] = 0.05
    projection: Annotated[Projection | None, Field(description=PROJECTION_TEXT)] = None


@dataclass(frozen=True)
class Trajectory:
    """``latents`` [steps + 1, n, d] and ``weights`` [steps + 1, n]: the start first, then after each step."""

    latents: torch.Tensor
    weights: torch.Tensor
    cost: Cost


def ascent_block(sizes: BlockSizes, steps: int = DEFAULT_STEPS) -> int:
    """Latents that climb together: at the default steps a quarter of a block that is only weighed, fewer for more.

    With the 4x400 network a turn then takes as long as decoding 32 images two to four times, whatever the steps:
    a step (forward and backward) of 128, 64, 32, 16 and 8 rows took 7, 2.0, 1.1, 0.7 and 0.5 ms of one core.
    """
    return rows_for_steps(max(1, sizes.latents // 4), steps, DEFAULT_STEPS)


def trajectory(
    prior: Prior, importance: ImportanceNetwork, latents: torch.Tensor, parameters: AscentParameters
) -> Trajectory:
    """Climb from ``latents`` [n, d]. A row at or above the cap stays where it is, bit for bit.

    Every row is evaluated at every step, those that stopped included, so the shape never depends on the weights.
    """
    states = list(_climb(prior, importance, latents, parameters))
    rows, steps = len(latents), parameters.steps
    # A step is a forward and a backward pass; the last weights are a forward pass more.
    cost = Cost(importance_rows=rows * (2 * steps + 1), gradient_steps=rows * steps)
    return Trajectory(torch.stack([z for z, _ in states]), torch.stack([w for _, w in states]), cost)


def _climb(
    prior: Prior, importance: ImportanceNetwork, latents: torch.Tensor, parameters: AscentParameters
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    projection = resolve_projection(prior, parameters.projection)
    norm, z = norm_of(latents), latents
    for _ in range(parameters.steps):
        weights, gradient = uphill(importance, z)
        yield z, weights
        moved = step_along(prior, z, gradient, parameters.step_size, projection, norm)
        z = torch.where((weights < importance.cap).unsqueeze(1), moved, z)
    with torch.no_grad():
        yield z, importance(z)


def uphill(importance: ImportanceNetwork, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [n] and the direction of ascent [n, d] (see the module's text); no graph is kept."""
    with torch.enable_grad():
        z = latents.detach().requires_grad_()
        score = importance.score(z)
        height = importance.log_weigh(score) if importance.head == "bounded" else score
        (gradient,) = torch.autograd.grad(height.sum(), z)
    return importance.weigh(score.detach()), gradient
