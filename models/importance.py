"""The importance network w: latents -> importance weights (Issenhuth et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log, pi
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.nn.functional import logsigmoid, relu

from models.mlp import mlp

Head = Literal["bounded", "relu"]
Activation = Literal["leaky_relu", "silu"]


class ImportanceNetwork(nn.Module):
    """MLP on the latent with one non-negative output; w = 1 everywhere at the start.

    Head ``bounded`` is cap * sigmoid(h), so w <= cap exactly. Head ``relu`` is max(h, 0) as published: the
    training clips it only softly, so w may exceed the cap (then the sampled law is min(w, cap) * prior).
    The published hidden layers are ReLU (``activation`` "leaky_relu", ``negative_slope`` 0) for the MNIST family,
    LeakyReLU(0.2) above. "silu" is h * sigmoid(h), smooth.

    ``frequencies`` > 0 gives the MLP sines and cosines of every coordinate beside the latent, at pi / 2 and its
    doublings (Tancik et al. 2020): few coordinates with many narrow regions are otherwise learned very slowly.
    """

    waves: torch.Tensor

    def __init__(
        self,
        latent_dim: int,
        hidden: tuple[int, ...] = (400, 400, 400, 400),
        head: Head = "bounded",
        cap: float = 3.0,
        negative_slope: float = 0.2,
        frequencies: int = 0,
        activation: Activation = "leaky_relu",
    ) -> None:
        super().__init__()
        if head not in get_args(Head):
            raise ValueError(f"unknown head {head!r}; known: {', '.join(get_args(Head))}")
        if activation not in get_args(Activation):
            raise ValueError(f"unknown activation {activation!r}; known: {', '.join(get_args(Activation))}")
        if not cap > 1:
            raise ValueError(f"the cap must be above 1 (weights have mean 1), not {cap}")
        self.latent_dim, self.head, self.cap = latent_dim, head, cap
        self.config: dict[str, Any] = {
            "latent_dim": latent_dim,
            "hidden": list(hidden),
            "head": head,
            "cap": cap,
            "negative_slope": negative_slope,
            "frequencies": frequencies,
            "activation": activation,
        }
        self.register_buffer("waves", pi / 2 * 2.0 ** torch.arange(frequencies), persistent=False)
        between: Callable[[], nn.Module] = nn.SiLU if activation == "silu" else partial(nn.LeakyReLU, negative_slope)
        self.body = mlp(latent_dim * (1 + 2 * frequencies), tuple(hidden), 1, between)
        output = self.body[-1]
        assert isinstance(output, nn.Linear)
        nn.init.zeros_(output.weight)
        nn.init.constant_(output.bias, flat_score(head, cap))

    def score(self, z: torch.Tensor) -> torch.Tensor:
        """Pre-activation h(z), [n]: monotone in w and smooth where w saturates."""
        h: torch.Tensor = self.body(self._encoded(z))
        return h.squeeze(1)

    def _encoded(self, z: torch.Tensor) -> torch.Tensor:
        if not len(self.waves):
            return z
        angles = (z[:, :, None] * self.waves).flatten(1)
        return torch.cat([z, angles.sin(), angles.cos()], dim=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Importance weights [n] >= 0 of latents [n, latent_dim]."""
        return self.weigh(self.score(z))

    def weigh(self, score: torch.Tensor) -> torch.Tensor:
        """Importance weights [n] of pre-activations [n]."""
        return self.cap * torch.sigmoid(score) if self.head == "bounded" else relu(score)

    def log_weigh(self, score: torch.Tensor) -> torch.Tensor:
        """log w [n] of pre-activations [n]: no underflow with the bounded head, minus infinity where a ReLU gives 0."""
        return log(self.cap) + logsigmoid(score) if self.head == "bounded" else relu(score).log()


def flat_score(head: Head, cap: float) -> float:
    """The pre-activation at which w = 1."""
    return -log(cap - 1) if head == "bounded" else 1.0
