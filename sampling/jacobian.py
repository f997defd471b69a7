"""How much a generator stretches space at a latent: ||J v||^2, averaged over a few directions v."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.func import jvp

from models.pilot import Derivative
from sampling.draw import Cost
from sampling.streams import BlockStream

DIFFERENCE_STEP = 1e-3
"""In units of a probe; the middle of the published [1e-4, 1e-2]: below it float32 noise grows, above it the bias."""


@dataclass(frozen=True)
class JacobianScore:
    """``samples`` [n, ...] of the generator, the squared norms ``score`` [n], and what they cost."""

    samples: torch.Tensor
    score: torch.Tensor
    cost: Cost


def draw_probes(count: int, dim: int, seed: int) -> torch.Tensor:
    """Directions v ~ N(0, I), float32 [count, dim]: a function of the seed, so that the score is one of the latent."""
    return torch.from_numpy(BlockStream(seed, count).next().standard_normal((count, dim), dtype="float32"))


@torch.no_grad()
def jacobian_score(
    generator: nn.Module, latents: torch.Tensor, probes: torch.Tensor, derivative: Derivative
) -> JacobianScore:
    """The mean over ``probes`` [k, dim] of ||J v||^2 at each of ``latents`` [n, dim]: in expectation ||J||_F^2."""
    evaluate = forward_mode if derivative == "forward" else finite_differences
    return evaluate(generator, latents, probes)


def forward_mode(generator: nn.Module, latents: torch.Tensor, probes: torch.Tensor) -> JacobianScore:
    """Exact. All probes ride in one call, so a latent costs ``k`` rows forwards and ``k`` of tangents."""
    n, k = len(latents), len(probes)
    repeated, directions = latents.repeat(k, 1), probes.repeat_interleave(n, dim=0)
    pushed = jvp(generator, (repeated,), (directions,))
    samples, tangents = pushed[0], pushed[1]
    score = tangents.flatten(1).square().sum(1).view(k, n).mean(0)
    return JacobianScore(samples[:n], score, Cost(generator_rows=2 * n * k, gradient_steps=n * k))


def finite_differences(generator: nn.Module, latents: torch.Tensor, probes: torch.Tensor) -> JacobianScore:
    """Forward differences: a latent costs ``k + 1`` rows. For operators without a forward-mode derivative."""
    n, k = len(latents), len(probes)
    moved = latents + DIFFERENCE_STEP * probes[:, None]
    samples = generator(torch.cat([latents, moved.flatten(0, 1)]))
    there, here = samples[n:].flatten(1).view(k, n, -1), samples[:n].flatten(1)
    score = ((there - here) / DIFFERENCE_STEP).square().sum(2).mean(0)
    return JacobianScore(samples[:n], score, Cost(generator_rows=n * (k + 1)))


@torch.no_grad()
def which_derivative(generator: nn.Module, latent: torch.Tensor) -> Derivative:
    """``forward`` unless an operator of ``generator`` lacks it; ``latent`` [1, dim] is what it is tried on."""
    try:
        jvp(generator, (latent,), (torch.ones_like(latent),))
    except (NotImplementedError, RuntimeError):
        generator(latent)  # what fails without derivatives too is not for us to hide
        return "difference"
    return "forward"
