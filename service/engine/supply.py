"""Accepted latents of one stream, in order, each handed out once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from models.bundle import Bundle
from sampling.block import Block
from sampling.draw import RejectionStalled
from sampling.latentrs import MAX_PROPOSALS_PER_SAMPLE, MIN_PROPOSAL_CAP, propose_latentrs
from sampling.prior import propose_prior
from sampling.streams import BlockStream


@dataclass(frozen=True)
class Take:
    """Latents [k, d], weights [k] or None, and the share of evaluated proposals that they cost."""

    latents: torch.Tensor
    weights: torch.Tensor | None
    proposals: float


@dataclass(frozen=True)
class Evaluated:
    """What one evaluated block says about w: counts, the sum of w, rows above the cap."""

    proposals: int
    accepted: int
    weight_sum: float | None
    above_cap: int


class SupplyStalled(RejectionStalled):
    """``method`` passed next to nothing over a whole window of proposals."""

    def __init__(self, message: str, method: str) -> None:
        super().__init__(message)
        self.method = method


class Supply:
    """Blocks of a stream are evaluated one at a time; what passes waits here until it is taken."""

    def __init__(self, bundle: Bundle, method: str, seed: int | None, block: int) -> None:
        self.bundle, self.method = bundle, method
        self.ready = self.proposals = self.accepted = 0
        self._stream = BlockStream(seed, block)
        self._waiting: deque[Take] = deque()
        self._window_proposals = self._window_accepted = 0

    def propose(self) -> Evaluated:
        """Evaluate the next block; what passes is ready to be taken."""
        block = self._evaluate()
        if block.weights is not None and not bool(torch.isfinite(block.weights).all()):
            raise FloatingPointError("the importance network gave NaN or infinite weights")
        passed = block.passed.nonzero().squeeze(1)
        accepted = len(passed)
        if accepted:
            weights = None if block.weights is None else block.weights[passed]
            self._waiting.append(Take(block.latents[passed], weights, float(self._stream.block)))
        self.ready += accepted
        self.proposals += self._stream.block
        self.accepted += accepted
        return self._statistics(block, accepted)

    def check_stalled(self) -> None:
        """One rule for every request: under one in a thousand over a full window raises SupplyStalled."""
        if self._window_proposals < MIN_PROPOSAL_CAP:
            return
        proposals, accepted = self._window_proposals, self._window_accepted
        self._window_proposals = self._window_accepted = 0
        if accepted * MAX_PROPOSALS_PER_SAMPLE < proposals:
            raise SupplyStalled(
                f"{self.method} accepted {accepted} of {proposals} proposals with bundle {self.bundle.name}; "
                "use method=prior, or a bundle with other weights.",
                self.method,
            )

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

    def _evaluate(self) -> Block:
        prior, importance = self.bundle.prior, self.bundle.importance
        if self.method == "prior":
            return propose_prior(prior, importance, self._stream)
        assert importance is not None
        return propose_latentrs(prior, importance, self._stream)

    def _statistics(self, block: Block, accepted: int) -> Evaluated:
        self._window_proposals += self._stream.block
        self._window_accepted += accepted
        if block.weights is None or self.bundle.importance is None:
            return Evaluated(self._stream.block, accepted, None, 0)
        above = int((block.weights > self.bundle.importance.cap).sum())
        return Evaluated(self._stream.block, accepted, float(block.weights.sum()), above)


def _split(take: Take, rows: int) -> tuple[Take, Take]:
    share = take.proposals * rows / len(take.latents)
    head, tail = (None, None) if take.weights is None else (take.weights[:rows], take.weights[rows:])
    return Take(take.latents[:rows], head, share), Take(take.latents[rows:], tail, take.proposals - share)


def _join(parts: list[Take]) -> Take:
    if len(parts) == 1:
        return parts[0]
    weights = None if parts[0].weights is None else torch.cat([p.weights for p in parts if p.weights is not None])
    return Take(torch.cat([p.latents for p in parts]), weights, sum(p.proposals for p in parts))
