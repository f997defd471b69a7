"""Randomness of a request: blocks of proposals of one fixed shape, so that a longer draw extends a shorter one."""

from __future__ import annotations

import secrets

import numpy as np
import torch

MAX_SEED = 2**63 - 1


class BlockStream:
    """Random numbers for block 0, 1, 2, ... of a seed; block shapes never depend on how much is asked for.

    Counter-based (Philox, 128-bit key), made on the CPU: the same numbers whatever the device. torch's own CPU
    generator keeps 32 bits of a seed, so blocks of a long stream would soon repeat.
    Without a seed the operating system gives one. ``block`` is the number of proposals of a block.
    """

    def __init__(self, seed: int | None, block: int, device: torch.device | str = "cpu") -> None:
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise ValueError(f"the seed must lie in [0, {MAX_SEED}], not {seed}")
        if block < 1:
            raise ValueError(f"a block holds at least one proposal, not {block}")
        self.seed = secrets.randbelow(MAX_SEED) if seed is None else seed
        self.block, self.device = block, device
        self._index = 0

    def next(self) -> np.random.Generator:
        """The generator of the next block."""
        # As entropy (seed, index) the pairs (5, 7) and (5 + 7 * 2**32, 0) would be the same words.
        key = np.random.SeedSequence(self.seed, spawn_key=(self._index,))
        self._index += 1
        return np.random.Generator(np.random.Philox(key))

    def uniform(self, rng: np.random.Generator) -> torch.Tensor:
        """One uniform in [0, 1) a proposal, float32 [block]."""
        return torch.from_numpy(rng.random(self.block, dtype=np.float32)).to(self.device)
