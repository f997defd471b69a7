"""What methods draw random numbers from: one row a proposal, whoever the numbers belong to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sampling.philox import WORD, Words, philox, to_doubles, to_integers, to_normals, to_uniforms

CHUNK = 4_096
"""Counters at a time: their arrays of 64-bit words stay in the cache, 36 ns a counter against 60 ns for 12,800."""


class Randomness(Protocol):
    """Random numbers of a block, tensors [rows, columns] on the CPU; every call gives new ones.

    ``rows`` is the number of proposals. Each call is independent of those before it.
    """

    @property
    def rows(self) -> int: ...

    def normals(self, columns: int) -> torch.Tensor:
        """Standard normals, float32."""

    def uniforms(self, columns: int) -> torch.Tensor:
        """In [0, 1), float32 multiples of 2^-24."""

    def doubles(self, columns: int) -> torch.Tensor:
        """In [0, 1), float64 multiples of 2^-53."""

    def integers(self, below: int, columns: int) -> torch.Tensor:
        """In [0, below), int64."""

    def units(self, size: int) -> Randomness:
        """Numbers for groups instead: one row for every ``size`` rows, which must divide them."""


class BlockRandomness:
    """All rows from one generator, the fastest way: rows of a block have no numbers of their own."""

    def __init__(self, generator: np.random.Generator, rows: int) -> None:
        self.rows, self._generator = rows, generator

    # The probes of a bundle's Jacobian scores come from here, the thresholds beside them were measured with them:
    # other bits of ``normals`` would be other scores.
    def normals(self, columns: int) -> torch.Tensor:
        return torch.from_numpy(self._generator.standard_normal((self.rows, columns), dtype=np.float32))

    def uniforms(self, columns: int) -> torch.Tensor:
        return torch.from_numpy(self._generator.random((self.rows, columns), dtype=np.float32))

    def doubles(self, columns: int) -> torch.Tensor:
        return torch.from_numpy(self._generator.random((self.rows, columns)))

    def integers(self, below: int, columns: int) -> torch.Tensor:
        return torch.from_numpy(self._generator.integers(below, size=(self.rows, columns)))

    def units(self, size: int) -> BlockRandomness:
        return BlockRandomness(self._generator, groups(self.rows, size))


class Counters:
    """Of units that draw together: all stand at the same position.

    ``indices`` in [0, 2^64) and ``attempts`` in [0, 2^32), one a unit. Philox's words 0 and 1 are the index, word 2 is
    the attempt, word 3 the position, which starts at 0; ``seed`` in [0, 2^64) is the key.
    """

    def __init__(self, seed: int, indices: NDArray[np.integer[Any]], attempts: NDArray[np.integer[Any]]) -> None:
        if attempts.max(initial=0) >= WORD:
            raise OverflowError("a sample has no more than 2^32 attempts")
        index = indices.astype(np.uint64)[:, None]
        self._seed, self._position = seed, 0
        self._low, self._high = index % np.uint64(WORD), index // np.uint64(WORD)
        self._attempt = attempts.astype(np.uint64)[:, None]

    def __len__(self) -> int:
        return len(self._attempt)

    def draw(self, count: int, transform: Callable[[Words], NDArray[Any]], words: int = 1) -> NDArray[Any]:
        """``count`` numbers of each unit, [units, count], each made of so many words, from the next positions."""
        width = -(-count * words // 4)
        if self._position + width > WORD:
            raise OverflowError("a proposal has no more than 2^34 words of random bits")
        positions = np.arange(self._position, self._position + width, dtype=np.uint64)
        self._position += width
        step = max(1, CHUNK // max(1, width))
        parts = [
            transform(self._words(slice(start, start + step), positions))[:, :count]
            for start in range(0, len(self), step)
        ]
        return np.concatenate(parts)

    def _words(self, units: slice, positions: NDArray[np.uint64]) -> Words:
        words = philox((self._low[units], self._high[units], self._attempt[units], positions[None]), self._seed)
        return words.reshape(len(words), -1)


class RowRandomness:
    """Each unit of ``members`` rows has its own numbers, a function of the seed, its sample's index and its attempt.

    A call for ``columns`` numbers takes as many positions of the unit's counters as hold members x columns of them, the
    first member's first.
    """

    def __init__(self, counters: Counters, members: int = 1) -> None:
        self.rows, self._counters, self._members = len(counters) * members, counters, members

    def normals(self, columns: int) -> torch.Tensor:
        return self._draw(columns, to_normals)

    def uniforms(self, columns: int) -> torch.Tensor:
        return self._draw(columns, to_uniforms)

    def doubles(self, columns: int) -> torch.Tensor:
        return self._draw(columns, to_doubles, words=2)

    def integers(self, below: int, columns: int) -> torch.Tensor:
        return self._draw(columns, partial(to_integers, below=below))

    def units(self, size: int) -> RowRandomness:
        """The same units as rows of their own; whoever draws first, the other goes on behind."""
        if size != self._members:
            raise ValueError(f"these rows belong to units of {self._members}, not of {size}")
        return RowRandomness(self._counters)

    def _draw(self, columns: int, transform: Callable[[Words], NDArray[Any]], words: int = 1) -> torch.Tensor:
        numbers = self._counters.draw(self._members * columns, transform, words)
        return torch.from_numpy(numbers.reshape(self.rows, columns))


def groups(rows: int, size: int) -> int:
    """How many groups of ``size`` make up ``rows``."""
    if rows % size:
        raise ValueError(f"{rows} rows are no whole number of units of {size}")
    return rows // size
