"""Steps along a gradient that keep latents where their prior lives: on their sphere (normal) or in the cube (uniform).

A d-dimensional normal latent has a norm close to sqrt(d); a step that changes the norm leaves what the generator knows.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import torch

from models.priors import Prior

Projection = Literal["tangent", "printed", "none"]
PROJECTION_TEXT = (
    "What keeps a normal prior's latent near its sphere: tangent removes the radial part of the gradient and rescales "
    "the latent to its starting norm (the default), printed is the published formula g - (g.z) z / sqrt(d), which does "
    "not keep the norm, none takes the gradient as it is. Latents of a uniform prior are clipped to [-1, 1] and take "
    "no projection."
)
TINY = 1e-12


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


def step_along(
    prior: Prior,
    latents: torch.Tensor,
    direction: torch.Tensor,
    step_size: float,
    projection: Projection,
    norm: torch.Tensor,
) -> torch.Tensor:
    """``latents`` [n, d] moved by ``step_size`` times the projected ``direction``, then brought back to the prior.

    Clipped under a uniform prior; with the tangent projection rescaled to ``norm`` [n, 1], that of their starts.
    The printed projection can overshoot ever further: a step that leaves the numbers is not taken.
    """
    moved = latents + step_size * project(direction, latents, projection)
    if prior.kind == "uniform":
        moved = moved.clamp(-1, 1)
    elif projection == "tangent":
        moved = moved * (norm / norm_of(moved).clamp(min=TINY))
    return torch.where(moved.isfinite().all(dim=1, keepdim=True), moved, latents)


def norm_of(latents: torch.Tensor) -> torch.Tensor:
    """Of each row, [n, 1]."""
    norm: torch.Tensor = torch.linalg.vector_norm(latents, dim=1, keepdim=True)
    return norm
