"""What one block of proposals came to: the unit that a stream advances by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sampling.draw import Cost
from sampling.streams import BlockStream


@dataclass(frozen=True)
class Block:
    """``latents`` [k, dim] that came out, their ``weights`` [k] (None without a w), the cost of the whole block.

    ``samples`` [k, ...] holds the generator's output only where the method had to decode: never decode twice.
    ``proposed_weights`` [block]: w of every proposal, where it was computed (statistics of w are read off it).
    """

    latents: torch.Tensor
    weights: torch.Tensor | None
    cost: Cost
    samples: torch.Tensor | None = None
    proposed_weights: torch.Tensor | None = None


Propose = Callable[[BlockStream], Block]
"""Evaluate the next block of a stream. Every block has the stream's shape, so bits never depend on n."""


def passing(latents: torch.Tensor, weights: torch.Tensor | None, passed: torch.Tensor, cost: Cost) -> Block:
    """The rows of a block where ``passed`` (bool [block]) holds, in order; ``cost`` without its accepted count."""
    rows = passed.nonzero().squeeze(1)
    kept = None if weights is None else weights[rows]
    return Block(latents[rows], kept, cost + Cost(accepted=len(rows)), proposed_weights=weights)
