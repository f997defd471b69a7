"""What sampling returns: latents, weights, what it cost."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True)
class Cost:
    """Rows that went through each network, and what the rejection did. Costs add up.

    ``proposals``: latents that were considered, ``accepted``: those that came out. A row of a backward pass (or of a
    Jacobian-vector product) counts in its network's rows like a forward one, and in ``gradient_steps`` besides.
    ``above_bound``: proposals whose density ratio exceeded the frozen bound of a pilot run and counted as the bound.
    """

    proposals: int = 0
    accepted: int = 0
    importance_rows: int = 0
    generator_rows: int = 0
    critic_rows: int = 0
    gradient_steps: int = 0
    above_bound: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))

    @property
    def acceptance_rate(self) -> float:
        return self.accepted / self.proposals if self.proposals else 1.0


@dataclass(frozen=True)
class Draw:
    """``latents`` float32 [n, dim], their importance ``weights`` [n] (None where the method has no w), the cost.

    ``samples`` holds the decoded rows only where the method itself had to decode: never decode twice.
    """

    latents: torch.Tensor
    weights: torch.Tensor | None
    cost: Cost
    samples: torch.Tensor | None = None


class RejectionStalled(RuntimeError):
    """A method accepted too little within its cap of proposals."""
