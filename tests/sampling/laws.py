"""Importance weights whose integrals are known, in the shape the samplers take."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from models.importance import ImportanceNetwork


class KnownWeight(nn.Module):
    """w as a formula on latents, with the cap m; counts the rows it is asked for."""

    def __init__(self, weight: Callable[[torch.Tensor], torch.Tensor], cap: float) -> None:
        super().__init__()
        self.weight, self.cap, self.rows = weight, cap, 0

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        self.rows += len(z)
        return self.weight(z)


def known(weight: Callable[[torch.Tensor], torch.Tensor], cap: float) -> ImportanceNetwork:
    return KnownWeight(weight, cap)  # type: ignore[return-value]


def constant(value: float, cap: float) -> ImportanceNetwork:
    return known(lambda z: torch.full((len(z),), value), cap)
