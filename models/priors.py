"""Latent priors: the law a generator was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

PriorKind = Literal["normal", "uniform"]


@dataclass(frozen=True)
class Prior:
    """Law of the latent: ``normal`` is N(0, I_dim), ``uniform`` is U[-1, 1]^dim (as in DOT's 2-D networks)."""

    kind: PriorKind
    dim: int

    def __post_init__(self) -> None:
        if self.kind not in get_args(PriorKind):
            raise ValueError(f"unknown prior {self.kind!r}; known: {', '.join(get_args(PriorKind))}")
        if self.dim < 1:
            raise ValueError(f"latent dimension must be at least 1, not {self.dim}")

    def sample(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw ``n`` latents, float32 [n, dim], on the random generator's device (CPU without one)."""
        device = generator.device if generator is not None else torch.device("cpu")
        if self.kind == "normal":
            return torch.randn(n, self.dim, generator=generator, device=device)
        return torch.rand(n, self.dim, generator=generator, device=device) * 2 - 1

    def draw(self, n: int, rng: np.random.Generator) -> torch.Tensor:
        """Draw ``n`` latents from numpy's generator, float32 [n, dim] on the CPU: what sampling uses."""
        if self.kind == "normal":
            return torch.from_numpy(rng.standard_normal((n, self.dim), dtype=np.float32))
        return torch.from_numpy(rng.random((n, self.dim), dtype=np.float32)) * 2 - 1
