"""Latent priors: the law a generator was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch

PriorKind = Literal["normal", "uniform"]


class Numbers(Protocol):
    """Random numbers of so many rows, float32 [rows, columns] on the CPU (sampling.randomness)."""

    def normals(self, columns: int) -> torch.Tensor: ...

    def uniforms(self, columns: int) -> torch.Tensor: ...


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

    def draw(self, numbers: Numbers) -> torch.Tensor:
        """A latent for each row of ``numbers``, float32 [rows, dim] on the CPU: what sampling uses."""
        if self.kind == "normal":
            return numbers.normals(self.dim)
        return numbers.uniforms(self.dim) * 2 - 1
