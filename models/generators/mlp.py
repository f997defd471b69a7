"""MLP generator: 2-D mixtures (DOT's 2-256-256-256-2) and small images such as the 8x8 digits."""

from __future__ import annotations

from math import prod

import torch
from torch import nn

from models.mlp import initialise, leaky_mlp


class MlpGenerator(nn.Module):
    """Latents [n, latent_dim] -> samples [n, *output_shape]; images end in tanh, points are unbounded."""

    def __init__(
        self,
        latent_dim: int,
        output_shape: tuple[int, ...],
        hidden: tuple[int, ...] = (256, 256, 256),
        tanh: bool = False,
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        self.body = leaky_mlp(latent_dim, hidden, prod(self.output_shape))
        self.squash: nn.Module = nn.Tanh() if tanh else nn.Identity()
        initialise(self)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        samples: torch.Tensor = self.squash(self.body(z))
        return samples.view(-1, *self.output_shape)
