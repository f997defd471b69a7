"""Accepted latents of one stream, in order, each handed out once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from models.bundle import Bundle
from sampling.block import Block
from sampling.draw import Cost, RejectionStalled
from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE, MIN_PROPOSAL_CAP, WAY_OUT, Sampler, stalled
from sampling.streams import BlockStream


@dataclass(frozen=True)
class Take:
    """Latents [k, d], weights [k] or None, the share of evaluated proposals that they cost, and the generator's
    output [k, ...] where the method had to decode."""

    latents: torch.Tensor
    weights: torch.Tensor | None
    proposals: float
    samples: torch.Tensor | None = None


@dataclass(frozen=True)
class Evaluated:
    """What one evaluated block cost, and what it says about w: the sum of w over proposals, rows above the cap."""

    cost: Cost
    weight_sum: float | None
    above_cap: int


class SupplyStalled(RejectionStalled):
    """``method`` passed next to nothing over a whole window of proposals."""

    def __init__(self, message: str, method: str) -> None:
        super().__init__(message)
        self.method = method


class Supply:
    """Blocks of a stream are evaluated one at a time; what passes waits here until it is taken."""

    def __init__(self, bundle: Bundle, sampler: Sampler, seed: int | None) -> None:
        self.bundle, self.sampler = bundle, sampler
        self.ready, self.cost = 0, Cost()
        self._stream = BlockStream(seed, sampler.block)
        self._waiting: deque[Take] = deque()
        self._window = Cost()

    def propose(self) -> Evaluated:
        """Evaluate the next block; what passes is ready to be taken."""
        block = self.sampler.propose(self._stream)
        if block.proposed_weights is not None and not bool(torch.isfinite(block.proposed_weights).all()):
            raise FloatingPointError("the importance network gave NaN or infinite weights")
        if block.cost.accepted:
            self._waiting.append(Take(block.latents, block.weights, float(block.cost.proposals), block.samples))
        self.ready += block.cost.accepted
        self.cost += block.cost
        self._window += block.cost
        return self._statistics(block)

    def check_stalled(self) -> None:
        """One rule for every request: under one in a thousand over a full window raises SupplyStalled."""
        if self._window.proposals < MIN_PROPOSAL_CAP:
            return
        window, self._window = self._window, Cost()
        if window.accepted * MAX_PROPOSALS_PER_SAMPLE < window.proposals:
            method = self.sampler.method
            raise SupplyStalled(f"{stalled(method, window)} with bundle {self.bundle.name}; {WAY_OUT}.", method)

    def take(self, rows: int) -> Take:
        """The next ``rows`` latents; there must be that many ready."""
        assert 0 < rows <= self.ready
        self.ready -= rows
        parts: list[Take] = []
        while rows:
            first = self._waiting.popleft()
            size = len(first.latents)
            if size > rows:
                first, rest = _split(first, rows)
                self._waiting.appendleft(rest)
            parts.append(first)
            rows -= len(first.latents)
        return _join(parts)

    def _statistics(self, block: Block) -> Evaluated:
        if block.proposed_weights is None or self.bundle.importance is None:
            return Evaluated(block.cost, None, 0)
        above = int((block.proposed_weights > self.bundle.importance.cap).sum())
        return Evaluated(block.cost, float(block.proposed_weights.sum()), above)


def _split(take: Take, rows: int) -> tuple[Take, Take]:
    share = take.proposals * rows / len(take.latents)
    return _rows(take, slice(0, rows), share), _rows(take, slice(rows, None), take.proposals - share)


def _rows(take: Take, rows: slice, proposals: float) -> Take:
    weights, samples = (None if part is None else part[rows] for part in (take.weights, take.samples))
    return Take(take.latents[rows], weights, proposals, samples)


def _join(parts: list[Take]) -> Take:
    if len(parts) == 1:
        return parts[0]
    weights = None if parts[0].weights is None else torch.cat([p.weights for p in parts if p.weights is not None])
    samples = None if parts[0].samples is None else torch.cat([p.samples for p in parts if p.samples is not None])
    return Take(torch.cat([p.latents for p in parts]), weights, sum(p.proposals for p in parts), samples)
