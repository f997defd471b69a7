"""Critics: raw scores of samples, no sigmoid."""

from __future__ import annotations

import torch
from torch import nn

from models.mlp import LEAKY_SLOPE, initialise, leaky_mlp


class Cnn28Critic(nn.Module):
    """Images [n, image_channels, 28, 28] -> raw scores [n] (Tanielian's thesis, table A.3)."""

    def __init__(self, channels: tuple[int, int] = (32, 64), image_channels: int = 1) -> None:
        super().__init__()
        c1, c2 = channels
        act = nn.LeakyReLU(LEAKY_SLOPE)
        self.body = nn.Sequential(
            nn.Conv2d(image_channels, c1, 4, stride=2, padding=1), act,
            nn.Conv2d(c1, c1, 3, padding=1), act,
            nn.Conv2d(c1, c2, 4, stride=2, padding=1), act,
            nn.Conv2d(c2, c2, 3, padding=1), act,
            nn.Flatten(),
            nn.Linear(c2 * 7 * 7, 1),
        )  # fmt: skip
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.body(x.contiguous(memory_format=torch.channels_last))
        return scores.squeeze(1)


class MlpCritic(nn.Module):
    """Samples of any shape with ``input_dim`` values each -> raw scores [n]."""

    def __init__(self, input_dim: int, hidden: tuple[int, ...] = (512, 512, 512)) -> None:
        super().__init__()
        self.body = leaky_mlp(input_dim, hidden, 1)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.body(x.flatten(1))
        return scores.squeeze(1)
