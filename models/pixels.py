"""From what a generator returns to what a file holds."""

from __future__ import annotations

import torch


def to_uint8(images: torch.Tensor, low: float = -1.0, high: float = 1.0) -> torch.Tensor:
    """Images [n, c, h, w] with values in [low, high] -> uint8 of the same shape, rounded, clipped at the ends."""
    return images.sub(low).mul(255 / (high - low)).round().clamp(0, 255).to(torch.uint8)
