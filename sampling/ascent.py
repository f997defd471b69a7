"""Gradient ascent on the importance weight in the latent space (Issenhuth et al. 2022, algorithms 4 and 5).

What is climbed. The paper ascends w, whose gradient is zero where a ReLU head gives w = 0: such a latent never moves.
Here the pre-activation h is climbed, in the paper's own step scale: the direction is grad h for the ReLU head (equal
to grad w wherever w > 0) and grad log w = (1 - w/m) grad h for the bounded head (equal to grad w at the mean weight
w = 1, alive at w = 0, and fading out at the cap, above which a weight means nothing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Literal

import torch
from pydantic import Field

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.draw import Cost
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes

Projection = Literal["tangent", "printed", "none"]
MAX_STEPS = 100
"""The papers' grid ends at 50; 100 steps of a block of 128 took 0.7 s of one core (4x400 network)."""
TINY = 1e-12


class AscentParameters(Parameters):
    """Of ``latentga``, and of the ascent of ``latentrsga``."""

    steps: Annotated[int, Field(ge=1, le=MAX_STEPS, description="Steps of the ascent.")] = 10
    step_size: Annotated[
        float,
        Field(gt=0, le=10, description="Length of a step in latent units for a gradient of log w of length one."),
    ] = 0.05
    projection: Annotated[
        Projection | None,
        Field(
            description=(
                "What keeps a normal prior's latent near its sphere: tangent removes the radial part of the gradient "
                "and rescales the latent to its starting norm (the default), printed is the published formula "
                "g - (g.z) z / sqrt(d), which does not keep the norm, none takes the gradient as it is. Latents of a "
                "uniform prior are clipped to [-1, 1] and take no projection."
            )
        ),
    ] = None


@dataclass(frozen=True)
class Trajectory:
    """``latents`` [steps + 1, n, d] and ``weights`` [steps + 1, n]: the start first, then after each step."""

    latents: torch.Tensor
    weights: torch.Tensor
    cost: Cost


def resolve_projection(prior: Prior, projection: Projection | None) -> Projection:
    """The projection in force; None is the prior's own. Raises ValueError for one that a uniform prior cannot take."""
    if prior.kind == "normal":
        return projection or "tangent"
    if projection in ("tangent", "printed"):
        raise ValueError(
            f"projection={projection} is for normal priors; latents of a uniform prior are clipped to [-1, 1]: "
            "leave it out."
        )
    return "none"


def ascent_block(sizes: BlockSizes) -> int:
    """Latents that climb together: a quarter of a block that is only weighed, for a step costs four such looks."""
    return max(1, sizes.latents // 4)


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
    norm = latents.norm(dim=1, keepdim=True)
    z = latents
    for _ in range(parameters.steps):
        weights, gradient = uphill(importance, z)
        yield z, weights
        moved = z + parameters.step_size * project(gradient, z, projection)
        if prior.kind == "uniform":
            moved = moved.clamp(-1, 1)
        elif projection == "tangent":
            moved = moved * (norm / moved.norm(dim=1, keepdim=True).clamp(min=TINY))
        # The printed projection can overshoot ever further: a step that leaves the numbers is not taken.
        climbs = (weights < importance.cap) & moved.isfinite().all(dim=1)
        z = torch.where(climbs.unsqueeze(1), moved, z)
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


def project(gradient: torch.Tensor, latents: torch.Tensor, projection: Projection) -> torch.Tensor:
    """``gradient`` [n, d] without its radial part (tangent), by the papers' formula (printed), or as it is (none).

    The printed g - (g.z) z / sqrt(d) flips the radial part and makes it about sqrt(d) - 1 times larger.
    """
    if projection == "none":
        return gradient
    along = (gradient * latents).sum(dim=1, keepdim=True)
    if projection == "printed":
        return gradient - along * latents / sqrt(latents.shape[1])
    return gradient - along * latents / latents.square().sum(dim=1, keepdim=True).clamp(min=TINY)
