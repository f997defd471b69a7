"""Randomness of unseeded work: blocks of proposals of one fixed shape, so that a longer draw extends a shorter one."""

from __future__ import annotations

import secrets
from typing import Protocol

import numpy as np
import torch

from sampling.randomness import BlockRandomness, Randomness

MAX_SEED = 2**63 - 1


class Stream(Protocol):
    """What a method proposes from: the next block's random numbers, ``block`` proposals, and where tensors go."""

    @property
    def block(self) -> int: ...

    @property
    def device(self) -> torch.device | str: ...

    def next(self) -> Randomness:
        """The random numbers of the next block, a row a proposal."""


class BlockStream:
    """Random numbers for block 0, 1, 2, ... of a seed; block shapes never depend on how much is asked for.

    Counter-based (Philox, 128-bit key), made on the CPU: the same numbers whatever the device. torch's own CPU
    generator keeps 32 bits of a seed, so blocks of a long stream would soon repeat.
    Without a seed the operating system gives one. ``block`` is the number of proposals of a block.
    """

    def __init__(self, seed: int | None, block: int, device: torch.device | str = "cpu") -> None:
        if block < 1:
            raise ValueError(f"a block holds at least one proposal, not {block}")
        self.seed = secrets.randbelow(MAX_SEED) if seed is None else checked_seed(seed)
        self.block, self.device = block, device
        self._index = 0

    def next(self) -> BlockRandomness:
        """The random numbers of the next block."""
        # As entropy (seed, index) the pairs (5, 7) and (5 + 7 * 2**32, 0) would be the same words.
        key = np.random.SeedSequence(self.seed, spawn_key=(self._index,))
        self._index += 1
        return BlockRandomness(np.random.Generator(np.random.Philox(key)), self.block)


def checked_seed(seed: int) -> int:
    """``seed`` itself. Raises ValueError for one out of range."""
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"the seed must lie in [0, {MAX_SEED}], not {seed}")
    return seed
