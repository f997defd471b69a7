"""How much a generator stretches space at a latent: ||J v||^2, averaged over a few directions v."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

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
    return BlockStream(seed, count).next().normals(dim)


def jacobian_score(
    generator: nn.Module, latents: torch.Tensor, probes: torch.Tensor, derivative: Derivative
) -> JacobianScore:
    """The mean over ``probes`` [k, dim] of ||J v||^2 at each of ``latents`` [n, dim]: in expectation ||J||_F^2."""
    evaluate = exact_products if derivative == "exact" else finite_differences
    return evaluate(generator, latents, probes)


@torch.enable_grad()
def exact_products(generator: nn.Module, latents: torch.Tensor, probes: torch.Tensor) -> JacobianScore:
    """Jacobian-vector products: a latent costs one row forwards, one backwards, and one a probe.

    J' u is linear in u, so its derivative along v is J v whatever u is. torch's forward mode gives the same numbers,
    but runs a convolution for the weights' zero tangents too, repeats the forward pass for each probe, and at its
    first use imports a compiler for seconds, in the middle of somebody's request.
    """
    inputs = latents.detach().requires_grad_()
    samples = generator(inputs)
    u = torch.zeros_like(samples, requires_grad=True)
    # Sums, not grad's own argument for u: given one, torch imports its compiler's symbolic shapes at first use.
    (transposed,) = torch.autograd.grad((samples * u).sum(), inputs, create_graph=True)
    total = torch.zeros(len(latents), device=latents.device)
    for v in probes:
        (product,) = torch.autograd.grad((transposed * v).sum(), u, retain_graph=True)
        total += product.detach().flatten(1).square().sum(1)
    n, k = len(latents), len(probes)
    cost = Cost(generator_rows=n * (k + 2), gradient_steps=n * (k + 1))
    return JacobianScore(samples.detach(), total / k, cost)


@torch.no_grad()
def finite_differences(generator: nn.Module, latents: torch.Tensor, probes: torch.Tensor) -> JacobianScore:
    """Forward differences: a latent costs ``k + 1`` rows. For operators that cannot be differentiated twice."""
    n, k = len(latents), len(probes)
    moved = latents + DIFFERENCE_STEP * probes[:, None]
    samples = generator(torch.cat([latents, moved.flatten(0, 1)]))
    there, here = samples[n:].flatten(1).view(k, n, -1), samples[:n].flatten(1)
    score = ((there - here) / DIFFERENCE_STEP).square().sum(2).mean(0)
    return JacobianScore(samples[:n], score, Cost(generator_rows=n * (k + 1)))


def which_derivative(generator: nn.Module, latent: torch.Tensor) -> Derivative:
    """``exact`` unless an operator of ``generator`` cannot be differentiated twice; tried on ``latent`` [1, dim]."""
    try:
        exact_products(generator, latent, torch.ones_like(latent))
    except (NotImplementedError, RuntimeError):
        with torch.no_grad():
            generator(latent)  # what fails without derivatives too is not for us to hide
        return "difference"
    return "exact"
