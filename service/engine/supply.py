"""Accepted latents of one stream, in order, each handed out once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from models.bundle import Bundle
from sampling.block import Block
from sampling.draw import Cost, RejectionStalled
from sampling.parameters import Parameters
from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE, Sampler
from sampling.stalling import StallWatch
from sampling.streams import BlockStream

SupplyKey = tuple[str, str, Parameters]


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
    """What one evaluated block cost and what it says about w: sum and number of the weights, those above the cap.

    ``decoded``: accepted rows that come with the generator's output.
    """

    cost: Cost
    decoded: int = 0
    weight_sum: float = 0.0
    weight_rows: int = 0
    above_cap: int = 0


class SupplyError(Exception):
    """A stream that cannot go on; ``key`` says whose requests that concerns."""

    def __init__(self, message: str, key: SupplyKey) -> None:
        super().__init__(message)
        self.key = key


class SupplyStalled(SupplyError, RejectionStalled):
    """The method passed next to nothing over a whole window of proposals."""


class SupplyFailed(SupplyError):
    """Something raised while a block was evaluated: ``__cause__``."""


class Supply:
    """Blocks of a stream are evaluated one at a time; what passes waits here until it is taken.

    ``max_proposals``: the most proposals that a sample may cost, on average over a window.
    """

    def __init__(
        self, bundle: Bundle, sampler: Sampler, seed: int | None, max_proposals: int = MAX_PROPOSALS_PER_SAMPLE
    ) -> None:
        self.bundle, self.sampler = bundle, sampler
        self.ready, self.cost = 0, Cost()
        self._stream = BlockStream(seed, sampler.block)
        self._waiting: deque[Take] = deque()
        self._watch = StallWatch(max_proposals)

    @property
    def key(self) -> SupplyKey:
        return (self.bundle.name, self.sampler.method, self.sampler.parameters)

    @property
    def decoded(self) -> int:
        """Rows that wait here and have been through the generator."""
        return sum(len(take.latents) for take in self._waiting if take.samples is not None)

    def propose(self) -> Evaluated:
        """Evaluate the next block; what passes is ready to be taken. Raises SupplyFailed."""
        try:
            block = self.sampler.propose(self._stream)
            _check(block)
        except Exception as error:  # whatever a network raises concerns those who take from here, nobody else
            raise SupplyFailed((str(error).splitlines() or [type(error).__name__])[0], self.key) from error
        if block.cost.accepted:
            self._waiting.append(Take(block.latents, block.weights, float(block.cost.proposals), block.samples))
        self.ready += block.cost.accepted
        self.cost += block.cost
        self._watch.add(block.cost)
        return self._statistics(block)

    def check_stalled(self) -> None:
        """One rule for every request: too few accepted over a full window raises SupplyStalled."""
        sentence = self._watch.verdict(self.sampler.method, self.bundle.name)
        if sentence is not None:
            raise SupplyStalled(sentence, self.key)

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
        decoded = 0 if block.samples is None else len(block.samples)
        weights, importance = block.proposed_weights, self.bundle.importance
        if weights is None or importance is None:
            return Evaluated(block.cost, decoded)
        above = int((weights > importance.cap).sum())
        return Evaluated(block.cost, decoded, float(weights.sum()), weights.numel(), above)


def _check(block: Block) -> None:
    """Raises FloatingPointError: what is not a number is never handed out."""
    assert len(block.latents) == block.cost.accepted, "a method returned another number of latents than it counted"
    for what, values in (
        ("the importance network gave NaN or infinite weights", block.proposed_weights),
        ("the importance network gave NaN or infinite weights", block.weights),
        ("the method gave NaN or infinite latents", block.latents),
        ("the generator gave NaN or infinite values", block.samples),
    ):
        if values is not None and not bool(torch.isfinite(values).all()):
            raise FloatingPointError(what)


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
