"""Philox4x32-10 over arrays of counters, and what its words become: uniforms, normals, integers.

A counter-based generator: for one key a bijection of 128-bit counters, so numbers of different counters never share
their bits, and any of them can be had without those before it. Salmon et al. 2011, "Parallel random numbers: as easy
as 1, 2, 3"; the constants are theirs.
"""

from __future__ import annotations

from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Wide = NDArray[np.uint64]
Counter = tuple[Wide, Wide, Wide, Wide]
"""The four 32-bit words of each counter, lowest first, in arrays that broadcast against each other."""

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85
WORD = 2**32
LOW, SHIFT = np.uint64(WORD - 1), np.uint64(32)
LARGEST_NORMAL = sqrt(2 * 33 * log(2))
"""6.7637, where the radius's word is 0. Beyond it lies 1.3e-11 of the law."""


def philox(counter: Counter, key: int) -> Words:
    """The four random words of each counter under a key of 64 bits, uint32 [..., 4].

    The words are kept in 64 bits, where the product of two of them has room.
    """
    c0, c1, c2, c3 = counter
    low, high = key % WORD, key // WORD
    for _ in range(ROUNDS):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c2 = second >> SHIFT ^ c1 ^ np.uint64(low), first >> SHIFT ^ c3 ^ np.uint64(high)
        c1, c3 = second & LOW, first & LOW
        low, high = (low + WEYL[0]) % WORD, (high + WEYL[1]) % WORD
    words = np.empty((*np.broadcast_shapes(*(word.shape for word in (c0, c1, c2, c3))), 4), np.uint32)
    for place, word in enumerate((c0, c1, c2, c3)):
        words[..., place] = word
    return words


def to_uniforms(words: Words) -> NDArray[np.float32]:
    """One uniform in [0, 1) a word: its upper 24 bits, which float32 holds exactly."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def to_doubles(words: Words) -> NDArray[np.float64]:
    """One uniform in [0, 1) for every two neighbouring words [..., 2 n]: 53 bits, the first word's are the upper."""
    upper, lower = (words[..., place::2].astype(np.uint64) for place in (0, 1))
    return ((upper << SHIFT | lower) >> np.uint64(11)).astype(np.float64) * 2**-53


def to_normals(words: Words) -> NDArray[np.float32]:
    """Two standard normals for every two neighbouring words [..., 2 n]: Box and Muller's, in float32.

    The first word is the radius, (word + 1/2) / 2^32 as the uniform, the second the angle. No |z| is larger than
    LARGEST_NORMAL. A radius below 0.01 (one pair in 20,000) has float32's steps near a uniform of 1, 3.5e-4 at most.
    """
    uniform = (words[..., 0::2].astype(np.float32) + np.float32(0.5)) * np.float32(2**-32)
    radius = np.sqrt(np.float32(-2) * np.log(uniform))
    angle = words[..., 1::2].astype(np.float32) * np.float32(2 * pi * 2**-32)
    normals = np.empty(words.shape, np.float32)
    np.multiply(radius, np.cos(angle), out=normals[..., 0::2])
    np.multiply(radius, np.sin(angle), out=normals[..., 1::2])
    return normals


def to_integers(words: Words, below: int) -> NDArray[np.int64]:
    """One integer in [0, below) a word, below <= 2^32: the probability of each is within 2^-32 of 1 / below."""
    if not 1 <= below <= WORD:
        raise ValueError(f"integers below a number from 1 to 2^32, not below {below}")
    return (words.astype(np.uint64) * np.uint64(below) >> SHIFT).astype(np.int64)
