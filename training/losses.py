"""GAN losses and the gradient penalty; weights on the fakes serve the importance game too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import relu

GanLoss = Literal["hinge", "wasserstein"]


def critic_loss(
    kind: GanLoss, real: torch.Tensor, fake: torch.Tensor, weight: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """Loss the critic minimises from scores real [n], fake [n] and importance weights [n] of the fakes."""
    if kind == "hinge":
        return relu(1 - real).mean() + (weight * relu(1 + fake)).mean()
    return (weight * fake).mean() - real.mean()


def generator_loss(fake: torch.Tensor) -> torch.Tensor:
    """Loss the generator minimises, the same for hinge and Wasserstein, from scores [n]."""
    return -fake.mean()


def gradient_penalty(
    critic: Callable[[torch.Tensor], torch.Tensor], real: torch.Tensor, fake: torch.Tensor, rng: torch.Generator
) -> torch.Tensor:
    """mean (||grad D||_2 - 1)^2 at random points between real and fake samples (Gulrajani et al. 2017)."""
    shape = (len(real), *(1,) * (real.ndim - 1))
    mix = torch.rand(shape, generator=rng, device=real.device)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norm: torch.Tensor = gradient.flatten(1).norm(dim=1)
    return (norm - 1).square().mean()


def freeze(network: nn.Module, frozen: bool = True) -> None:
    """Turn the gradients of every parameter off, or on again."""
    network.requires_grad_(not frozen)
