"""Philox4x32-10: the published known answers, and the laws of what its words become."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy.stats import chisquare, kstest, norm

from sampling.philox import LARGEST_NORMAL, Words, philox, to_doubles, to_integers, to_normals, to_uniforms

ROWS = 40_000


def words_of(counter: list[int], key: list[int]) -> list[int]:
    low, high = key
    places = np.array(counter, np.uint64)[:, None]
    return [int(word) for word in philox((places[0], places[1], places[2], places[3]), low + 2**32 * high)[0]]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_the_known_answers_of_random123(counter: list[int], key: list[int], expected: list[int]) -> None:
    assert words_of(counter, key) == expected


def test_arrays_of_counters_broadcast_and_each_has_its_own_words() -> None:
    column, row = np.arange(3, dtype=np.uint64)[:, None], np.arange(5, dtype=np.uint64)[None]
    words = philox((column, column + 7, column + 9, row), 11)
    assert words.shape == (3, 5, 4) and words.dtype == np.uint32
    for i in range(3):
        for j in range(5):
            assert words[i, j].tolist() == words_of([i, i + 7, i + 9, j], [11, 0])


def words(shape: tuple[int, ...] = (ROWS, 1)) -> Words:
    positions = np.arange(int(np.prod(shape)), dtype=np.uint64).reshape(shape)
    zero = np.zeros_like(positions)
    return philox((zero, zero, zero, positions), 5).reshape(*shape[:-1], -1)


def test_uniforms_are_the_upper_24_bits_exactly() -> None:
    ends = to_uniforms(np.array([0, 255, 256, 2**32 - 1], np.uint32))
    assert ends.dtype == np.float32 and ends.tolist() == [0, 0, 2**-24, 1 - 2**-24]
    assert kstest(to_uniforms(words()).ravel(), "uniform").pvalue > 1e-4


def test_doubles_are_the_upper_53_bits_of_two_words() -> None:
    top = 2**32 - 1
    ends = to_doubles(np.array([0, 0, 0, 2**11 - 1, 0, 2**11, 1, 0, top, top], np.uint32))
    assert ends.dtype == np.float64 and ends.tolist() == [0, 0, 2**-53, 2**-32, 1 - 2**-53]
    assert kstest(to_doubles(words()).ravel(), "uniform").pvalue > 1e-4


def test_normals_are_normal_and_neither_within_a_pair_nor_in_their_squares_correlated() -> None:
    normals = to_normals(words()).astype(np.float64)
    assert normals.shape == (ROWS, 4)
    assert all(kstest(column, norm.cdf).pvalue > 1e-4 for column in normals.T)
    for values in (normals, normals**2):
        assert np.abs(np.corrcoef(values.T) - np.eye(4)).max() < 4.5 / sqrt(ROWS)
    radii = normals[:, 0] ** 2 + normals[:, 1] ** 2
    assert kstest(radii, "expon", (0, 2)).pvalue > 1e-4


def test_the_tails_reach_as_far_as_32_bits_do_and_every_normal_is_finite() -> None:
    top, quarters = 2**32 - 1, [0, 2**30, 2**31, 3 * 2**30]
    far = to_normals(np.array([word for angle in quarters for word in (0, angle)], np.uint32))
    assert np.abs(far).max() == pytest.approx(LARGEST_NORMAL, abs=1e-5)
    np.testing.assert_allclose(far.reshape(4, 2) / LARGEST_NORMAL, [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-4)
    near = to_normals(np.array([top, 0, top, top, top - 300, 5], np.uint32))
    assert np.isfinite(near).all() and np.abs(near).max() < 5e-4


@pytest.mark.parametrize("below", [1, 2, 3, 10, 1000])
def test_integers_below_a_bound_are_equally_likely(below: int) -> None:
    drawn = to_integers(words().ravel(), below)
    counts = np.bincount(drawn, minlength=below)
    assert drawn.dtype == np.int64 and len(counts) == below
    assert below == 1 or chisquare(counts).pvalue > 1e-4


def test_integers_reach_both_ends_and_no_further() -> None:
    ends = np.array([0, 2**32 - 1], np.uint32)
    assert to_integers(ends, 7).tolist() == [0, 6] and to_integers(ends, 2**32).tolist() == [0, 2**32 - 1]


@pytest.mark.parametrize("below", [0, -3, 2**32 + 1])
def test_a_bound_that_a_word_cannot_meet_is_refused(below: int) -> None:
    with pytest.raises(ValueError, match=rf"not below {below}"):
        to_integers(words((1, 1)), below)
