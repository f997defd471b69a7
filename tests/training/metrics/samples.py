"""Seeded samples that the metric tests share."""

from __future__ import annotations

import torch


def normal(n: int, dim: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) * scale + shift


def column(*values: float) -> torch.Tensor:
    """Points on a line, [n, 1]."""
    return torch.tensor(values).unsqueeze(1)
