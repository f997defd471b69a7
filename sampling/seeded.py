"""Samples of a seed: each has random numbers of its own, so sample i is the same whatever else is drawn.

Sample i is its own first accepted unit, of attempts 0, 1, 2, ... whose numbers are a function of (seed, i, attempt).
Torch's bits may depend on the place of a row and on its neighbours; so samples are found in windows of consecutive
indices whose blocks are a function of the seed and the window alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sampling.block import Block
from sampling.draw import Cost, Draw, RejectionStalled
from sampling.randomness import Counters, Randomness, RowRandomness
from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE, BlockSizes, Sampler
from sampling.stalling import StallWatch
from sampling.streams import checked_seed

Integers = NDArray[np.int64]

MAX_INDEX = 2**62
"""Samples of a seed, far more than anyone can draw; the last window still fits into 64 bits."""

BLOCKS_A_WINDOW = 2
"""The last samples of a window get many attempts each, of which one counts: a block and a half beyond what they need.
latentrs (128 proposals, one in 3 passes) evaluated 5.3, 4.6, 4.2 proposals a sample of a thousand with 2, 3, 4 blocks a
window, and 6.5, 8.4, 10.3 a sample of 64, 214, 285, 320 for a single one (40 seeds): whoever asks for few pays less."""

SEEDED_SIZES = BlockSizes(latents=128)
"""A quarter of the usual block of latents: a window is as much smaller, and w takes 1.3 instead of 1.1 us a row."""


def window_size(sampler: Sampler) -> int:
    """How many samples are found together, at least one.

    Those of one block if every unit is accepted, or nothing is known; otherwise as many as BLOCKS_A_WINDOW blocks would
    accept on average.
    """
    if sampler.expected_acceptance is None:
        return sampler.units
    accepted = sampler.expected_acceptance * sampler.unit
    if accepted > 1 - 1e-9:  # candidates * (1 / candidates) may end a rounding error below one
        return sampler.units
    return max(1, round(BLOCKS_A_WINDOW * accepted * sampler.units))


def deal(pending: Integers, tried: Integers, units: int) -> tuple[Integers, Integers]:
    """Which samples the ``units`` of a block are for, and their attempts: both [units], in order of sample and attempt.

    ``pending`` [m] are the samples without an accepted unit, ascending, ``tried`` [m] how many attempts each has had.
    All get equally many new attempts; what is left over goes to the first ones, one each.
    """
    each, left = divmod(units, len(pending))
    counts = np.full(len(pending), each)
    counts[:left] += 1
    before = np.cumsum(counts) - counts
    return np.repeat(pending, counts), np.arange(units) + np.repeat(tried - before, counts)


@dataclass(frozen=True)
class OneBlock:
    """The stream that a method sees: numbers for one block."""

    numbers: Randomness
    block: int
    device: torch.device | str

    def next(self) -> Randomness:
        return self.numbers


@dataclass(frozen=True)
class Step:
    """An evaluated ``block``, and how many samples it ``settled``; its other accepted units are surplus."""

    block: Block
    settled: int


class SeededStream:
    """The samples ``offset``, ``offset`` + 1, ... of a seed, one block of work at a time.

    ``step`` evaluates a block, ``ready`` samples can then be had with ``take``, in order. ``cost`` counts every
    evaluated proposal, surplus included: accepted over proposals stays an unbiased acceptance rate.
    ``max_proposals``: what a sample may cost on average (sampling.stalling). Raises ValueError for a seed or an offset
    out of range.
    """

    def __init__(
        self,
        sampler: Sampler,
        seed: int,
        offset: int = 0,
        max_proposals: int = MAX_PROPOSALS_PER_SAMPLE,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 0 <= offset < MAX_INDEX:
            raise ValueError(f"the offset must lie in [0, {MAX_INDEX}), not {offset}")
        self.sampler, self.seed, self.device = sampler, checked_seed(seed), device
        self.window = window_size(sampler)
        self.cost = Cost()
        self._next = offset
        self._opens_at = offset - offset % self.window
        self._windows: deque[_Window] = deque()  # those that are not wholly taken; only the last may be unfinished
        self._watch = StallWatch(max_proposals)

    @property
    def ready(self) -> int:
        return max(0, self._windows[-1].end - self._next) if self._windows else 0

    def step(self) -> Step:
        """Evaluate the next block. Raises RejectionStalled, before a block, for what those before it have come to."""
        if (sentence := self._watch.verdict(self.sampler.method)) is not None:
            raise RejectionStalled(sentence)
        if not self._windows or self._windows[-1].done:
            self._windows.append(_Window(self.sampler, self.seed, self._opens_at, self.window))
            self._opens_at += self.window
        step = self._windows[-1].step(self.device)
        self.cost += step.block.cost
        self._watch.add(step.block.cost)
        return step

    def take(self, n: int) -> Draw:
        """The next ``n`` samples, of which there must be that many ready; with the cost of all work so far."""
        assert 0 < n <= self.ready, "there are fewer samples ready"
        parts: list[Draw] = []
        while n:
            window = self._windows[0]
            start = self._next - window.first
            stop = min(start + n, self.window)
            parts.append(window.rows(slice(start, stop), self.cost))
            self._next += stop - start
            n -= stop - start
            if stop == self.window:
                self._windows.popleft()
        return joined(parts)


class _Window:
    """Samples ``first`` to ``first`` + ``size``: which of them are still sought, and those that were found."""

    def __init__(self, sampler: Sampler, seed: int, first: int, size: int) -> None:
        self.first = first
        self._sampler, self._seed = sampler, seed
        self._sought = np.ones(size, np.bool_)
        self._tried = np.zeros(size, np.int64)
        self._found: dict[str, torch.Tensor] = {}

    @property
    def done(self) -> bool:
        return not self._sought.any()

    @property
    def end(self) -> int:
        """The first sample that is still sought, or the first of the next window."""
        return self.first + (len(self._sought) if self.done else int(self._sought.argmax()))

    def step(self, device: torch.device | str) -> Step:
        sampler = self._sampler
        pending = self._sought.nonzero()[0]
        samples, attempts = deal(pending, self._tried[pending], sampler.units)
        numbers = RowRandomness(Counters(self._seed, self.first + samples, attempts), sampler.unit)
        block = sampler.propose(OneBlock(numbers, sampler.block, device))
        np.add.at(self._tried, samples, 1)
        # Samples and attempts ascend: the first of a sample's accepted units is that of its lowest attempt.
        owners = samples[block.rows.cpu().numpy()]
        accepted = np.flatnonzero(np.diff(owners, prepend=-1))
        owners = owners[accepted]
        self._sought[owners] = False
        for name in ("latents", "weights", "samples"):
            self._keep(name, getattr(block, name), owners, accepted)
        return Step(block, len(owners))

    def _keep(self, name: str, rows: torch.Tensor | None, owners: Integers, accepted: NDArray[np.int64]) -> None:
        if rows is None:
            return
        if name not in self._found:
            self._found[name] = rows.new_empty((len(self._sought), *rows.shape[1:]))
        self._found[name][torch.from_numpy(owners)] = rows[torch.from_numpy(accepted)]

    def rows(self, which: slice, cost: Cost) -> Draw:
        latents, weights, samples = (
            None if name not in self._found else self._found[name][which] for name in ("latents", "weights", "samples")
        )
        assert latents is not None
        return Draw(latents, weights, cost, samples)


def joined(parts: list[Draw]) -> Draw:
    """One draw of several in a row, with the cost of the last."""
    if len(parts) == 1:
        return parts[0]
    weights = None if parts[0].weights is None else torch.cat([p.weights for p in parts if p.weights is not None])
    samples = None if parts[0].samples is None else torch.cat([p.samples for p in parts if p.samples is not None])
    return Draw(torch.cat([part.latents for part in parts]), weights, parts[-1].cost, samples)


def draw_seeded(
    sampler: Sampler,
    n: int,
    seed: int,
    offset: int = 0,
    max_proposals: int = MAX_PROPOSALS_PER_SAMPLE,
    device: torch.device | str = "cpu",
) -> Draw:
    """The ``n`` samples of ``seed`` from ``offset`` on. Raises RejectionStalled."""
    stream = SeededStream(sampler, seed, offset, max_proposals, device)
    while stream.ready < n:
        stream.step()
    return stream.take(n)
