"""What one block of proposals came to: the unit that a stream advances by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sampling.draw import Cost
from sampling.streams import Stream


@dataclass(frozen=True)
class Block:
    """``latents`` [k, dim] that came out, their ``weights`` [k] (None without a w), the cost of the whole block.

    ``samples`` [k, ...] holds the generator's output only where the method had to decode: never decode twice.
    ``rows`` int64 [k]: which units of the block they are, ascending. A unit gives one output or none; for most methods
    it is one proposal (``Sampler.unit``).
    ``proposed_weights`` [block]: w of every proposal, where it was computed (statistics of w are read off it).
    """

    latents: torch.Tensor
    weights: torch.Tensor | None
    cost: Cost
    rows: torch.Tensor
    samples: torch.Tensor | None = None
    proposed_weights: torch.Tensor | None = None


Propose = Callable[[Stream], Block]
"""Evaluate the next block of a stream, calling its ``next`` once. Every block has the stream's shape."""


def passing(latents: torch.Tensor, weights: torch.Tensor | None, passed: torch.Tensor, cost: Cost) -> Block:
    """The rows of a block where ``passed`` (bool [block]) holds, in order; ``cost`` without its accepted count."""
    rows = passed.nonzero().squeeze(1)
    kept = None if weights is None else weights[rows]
    return Block(latents[rows], kept, cost + Cost(accepted=len(rows)), rows, proposed_weights=weights)


def every(latents: torch.Tensor) -> torch.Tensor:
    """``Block.rows`` where nothing is rejected."""
    return torch.arange(len(latents), device=latents.device)
