"""Chosen latents, in order, each handed out once: of a shared stream, or of a seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from time import perf_counter

import torch

from models.bundle import Bundle
from sampling.block import Block
from sampling.draw import Cost, RejectionStalled
from sampling.parameters import Parameters
from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE, Sampler
from sampling.seeded import SeededStream
from sampling.stalling import StallWatch
from sampling.streams import BlockStream
from service.engine.errors import first_line

SupplyKey = tuple[str, str, Parameters, int]
"""Digest of the bundle, method, parameters, rows of a block."""


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

    ``decoded``: rows that came out with the generator's output, and wait.
    """

    cost: Cost
    decoded: int = 0
    weight_sum: float = 0.0
    weight_rows: int = 0
    above_cap: int = 0


class SupplyError(Exception):
    """A stream that cannot go on."""


class SupplyStalled(SupplyError, RejectionStalled):
    """The method passed next to nothing over a whole window of proposals."""


class SupplyFailed(SupplyError):
    """Something raised while a block was evaluated: ``__cause__``."""


class Supply(ABC):
    """Blocks are evaluated one at a time; what passes waits here until it is taken.

    ``block_seconds``: of the quickest block so far, 0 before the first. ``broken``: the last block raised.
    """

    def __init__(self, bundle: Bundle, sampler: Sampler) -> None:
        self.bundle, self.sampler = bundle, sampler
        self.broken = False
        self.block_seconds = 0.0

    @property
    def decodes(self) -> bool:
        """Its method comes with the generator's output."""
        return self.sampler.decodes

    @property
    @abstractmethod
    def ready(self) -> int:
        """Rows that can be taken now."""

    @property
    @abstractmethod
    def decoded(self) -> int:
        """Rows that lie here and have been through the generator."""

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """Of all blocks so far."""

    @abstractmethod
    def take(self, rows: int) -> Take:
        """The next ``rows`` latents; there must be that many ready."""

    @abstractmethod
    def check_stalled(self) -> None:
        """One rule for every request: too few accepted over a full window raises SupplyStalled."""

    @abstractmethod
    def _evaluate(self) -> tuple[Block, int]:
        """Evaluate the next block: it, and how many of its rows are of use."""

    @abstractmethod
    def _keep(self, block: Block, useful: int) -> None:
        """The block is sound: its useful rows wait here from now on."""

    def propose(self) -> Evaluated:
        """Evaluate the next block; what passes is ready to be taken. Raises SupplyFailed."""
        started = perf_counter()
        try:
            block, useful = self._evaluate()
            _check(block)
            assert self.decodes == (block.samples is not None), "a method decodes, and does not say so, or says so only"
        except RejectionStalled as error:
            self.broken = True
            raise SupplyStalled(f"Bundle {self.bundle.name}: {error}") from error
        except Exception as error:  # whatever a network raises concerns those who take from here, nobody else
            self.broken = True
            raise SupplyFailed(first_line(error)) from error
        self.broken = False
        self._keep(block, useful)
        seconds = perf_counter() - started
        self.block_seconds = min(self.block_seconds or seconds, seconds)  # what else the machine does only adds
        return _statistics(self.bundle, block, useful)


class SharedSupply(Supply):
    """Of a stream that the operating system seeded: everything that a block accepts is somebody's sample.

    ``max_proposals``: the most proposals that a sample may cost, on average over a window.
    """

    def __init__(self, bundle: Bundle, sampler: Sampler, max_proposals: int = MAX_PROPOSALS_PER_SAMPLE) -> None:
        super().__init__(bundle, sampler)
        self._ready, self._cost = 0, Cost()
        self._stream = BlockStream(None, sampler.block, bundle.device)
        self._waiting: deque[Take] = deque()
        self._watch = StallWatch(max_proposals)

    @property
    def ready(self) -> int:
        return self._ready

    @property
    def decoded(self) -> int:
        return sum(len(take.latents) for take in self._waiting if take.samples is not None)

    @property
    def cost(self) -> Cost:
        return self._cost

    def _evaluate(self) -> tuple[Block, int]:
        block = self.sampler.propose(self._stream)
        return block, block.cost.accepted

    def _keep(self, block: Block, useful: int) -> None:
        if useful:
            self._waiting.append(Take(block.latents, block.weights, float(block.cost.proposals), block.samples))
        self._ready += useful
        self._cost += block.cost
        self._watch.add(block.cost)

    def check_stalled(self) -> None:
        sentence = self._watch.verdict(self.sampler.method, self.bundle.name)
        if sentence is not None:
            raise SupplyStalled(sentence)

    def take(self, rows: int) -> Take:
        assert 0 < rows <= self.ready
        self._ready -= rows
        parts: list[Take] = []
        while rows:
            first = self._waiting.popleft()
            size = len(first.latents)
            if size > rows:
                first, rest = split(first, rows)
                self._waiting.appendleft(rest)
            parts.append(first)
            rows -= len(first.latents)
        return _join(parts)


class SeededSupply(Supply):
    """The samples of one seed from ``first`` on; ``cost`` is exact and this seed's alone.

    ``position``: the index of the next one.
    """

    def __init__(
        self, bundle: Bundle, sampler: Sampler, seed: int, first: int, max_proposals: int = MAX_PROPOSALS_PER_SAMPLE
    ) -> None:
        super().__init__(bundle, sampler)
        self._stream = SeededStream(sampler, seed, first, max_proposals, bundle.device)
        self.position = first
        self._held = 0  # rows that came decoded and were not taken

    @property
    def ready(self) -> int:
        return self._stream.ready

    @property
    def decoded(self) -> int:
        return self._held

    @property
    def cost(self) -> Cost:
        return self._stream.cost

    def _evaluate(self) -> tuple[Block, int]:
        step = self._stream.step()
        return step.block, step.settled

    def _keep(self, block: Block, useful: int) -> None:
        if block.samples is not None:
            self._held += useful

    def check_stalled(self) -> None:
        """The stream itself refuses to go on, before the next block."""

    def take(self, rows: int) -> Take:
        drawn = self._stream.take(rows)
        self.position += rows
        if drawn.samples is not None:
            self._held -= rows
        return Take(drawn.latents, drawn.weights, 0.0, drawn.samples)


def _statistics(bundle: Bundle, block: Block, useful: int) -> Evaluated:
    decoded = 0 if block.samples is None else useful
    weights, importance = block.proposed_weights, bundle.importance
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


def split(take: Take, rows: int) -> tuple[Take, Take]:
    """The first ``rows`` of ``take``, and the rest."""
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
