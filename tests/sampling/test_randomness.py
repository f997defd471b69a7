"""What methods draw from: the same laws from a block's generator and from rows with numbers of their own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest, norm

from sampling import randomness
from sampling.jacobian import draw_probes
from sampling.philox import philox
from sampling.randomness import Counters, Randomness, RowRandomness
from sampling.streams import BlockStream

ROWS = 20_000
FAR = 2**40


def rows_of(
    indices: list[int] | np.ndarray, attempts: list[int] | np.ndarray, members: int = 1, seed: int = 3
) -> RowRandomness:
    return RowRandomness(Counters(seed, np.asarray(indices, np.int64), np.asarray(attempts, np.int64)), members)


def consecutive(rows: int = ROWS) -> RowRandomness:
    return rows_of(np.arange(FAR, FAR + rows), np.zeros(rows))


def attempts_of_one_sample(rows: int = ROWS) -> RowRandomness:
    return rows_of(np.full(rows, 7), np.arange(rows))


def one_block(rows: int = ROWS) -> Randomness:
    return BlockStream(3, rows).next()


EVERY = pytest.mark.parametrize("make", [consecutive, attempts_of_one_sample, one_block])
Make = Callable[[], Randomness]


@EVERY
def test_the_marginal_laws_are_those_that_the_names_say(make: Make) -> None:
    numbers = make()
    normals, uniforms, doubles, integers = (
        numbers.normals(3).double().numpy(),
        numbers.uniforms(3).double().numpy(),
        numbers.doubles(3).numpy(),
        numbers.integers(13, 3).numpy(),
    )
    for column in range(3):
        assert kstest(normals[:, column], norm.cdf).pvalue > 1e-4
        assert kstest(uniforms[:, column], "uniform").pvalue > 1e-4
        assert kstest(doubles[:, column], "uniform").pvalue > 1e-4
        assert chisquare(np.bincount(integers[:, column], minlength=13)).pvalue > 1e-4


@EVERY
def test_neighbours_columns_and_calls_are_uncorrelated(make: Make) -> None:
    numbers = make()
    columns = torch.cat([numbers.normals(3), numbers.uniforms(2), numbers.normals(1)], dim=1).double().numpy()
    shifted = np.concatenate([columns[:-1], columns[1:]], axis=1)  # beside its neighbour: index or attempt + 1
    assert np.abs(np.corrcoef(shifted.T) - np.eye(12)).max() < 4.5 / sqrt(ROWS)
    signs = np.sign(shifted[:, :3]).astype(int) @ [4, 2, 1] + 7
    assert chisquare(np.bincount(signs, minlength=15)[::2]).pvalue > 1e-4


@EVERY
def test_every_kind_comes_in_its_own_type_and_shape(make: Make) -> None:
    numbers = make()
    assert numbers.rows == ROWS
    for drawn, kind in (
        (numbers.normals(5), torch.float32),
        (numbers.uniforms(5), torch.float32),
        (numbers.doubles(5), torch.float64),
        (numbers.integers(9, 5), torch.int64),
    ):
        assert drawn.shape == (ROWS, 5) and drawn.dtype == kind and drawn.is_contiguous()


def everything(numbers: RowRandomness) -> torch.Tensor:
    """A little of each kind, as float64 [rows, 10]."""
    drawn = (
        numbers.normals(3),
        numbers.uniforms(1),
        numbers.doubles(1),
        numbers.integers(10**6, 2),
        numbers.normals(3),
    )
    return torch.cat([part.double() for part in drawn], dim=1)


def test_a_row_is_a_function_of_its_seed_index_and_attempt_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    indices, attempts = [5, 5, 6, FAR, 5], [0, 1, 0, 9, 0]
    together = everything(rows_of(indices, attempts))
    for row, (index, attempt) in enumerate(zip(indices, attempts, strict=True)):
        assert torch.equal(everything(rows_of([index], [attempt]))[0], together[row])
    assert torch.equal(together[0], together[4])
    assert len(torch.unique(together, dim=0)) == 4
    assert not (everything(rows_of(indices, attempts, seed=4)) == together).any()
    monkeypatch.setattr(randomness, "CHUNK", 2)  # how the work is cut does not matter
    assert torch.equal(everything(rows_of(indices, attempts)), together)


def test_the_numbers_are_those_of_the_stated_counters() -> None:
    """Index in words 0 and 1, attempt in word 2, position in word 3: the law that docs/reproducibility.md states."""
    index, attempt, seed = 5 + 3 * 2**32, 9, 2**40 + 1
    numbers = rows_of([index], [attempt], members=2, seed=seed)
    expected = [
        philox(tuple(np.array([word], np.uint64) for word in (5, 3, attempt, position)), seed)[0]  # type: ignore[arg-type]
        for position in range(5)
    ]
    uniforms = numbers.uniforms(3)  # two members: six words from positions 0 and 1, the last two are left over
    assert uniforms.flatten().tolist() == [float(w >> 8) / 2**24 for w in np.concatenate(expected[:2])[:6]]
    assert numbers.units(2).integers(2**32, 1).item() == expected[2][0]  # the unit goes on behind its members
    doubles = numbers.doubles(2).flatten().tolist()
    pairs = np.concatenate(expected[3:5]).astype(object).reshape(4, 2)
    assert doubles == [float((int(a) * 2**32 + int(b)) >> 11) / 2**53 for a, b in pairs]


Draws = st.lists(st.tuples(st.sampled_from(["normals", "uniforms", "doubles", "units"]), st.integers(1, 9)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    units=st.lists(
        st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1)), min_size=1, max_size=6, unique=True
    ),
    members=st.integers(1, 4),
    draws=Draws,
)
def test_no_two_units_and_no_two_draws_share_a_counter(
    units: list[tuple[int, int]], members: int, draws: list[tuple[str, int]]
) -> None:
    seen: list[tuple[int, ...]] = []

    def noting(counter: tuple[np.ndarray, ...], key: int) -> np.ndarray:
        words = np.stack(np.broadcast_arrays(*counter), axis=-1)
        assert words.max() < 2**32
        seen.extend(map(tuple, words.reshape(-1, 4).tolist()))
        return philox(counter, key)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(randomness, "philox", noting)
        numbers = rows_of([index for index, _ in units], [attempt for _, attempt in units], members)
        for kind, columns in draws:
            drawing = numbers.units(members) if kind == "units" else numbers
            getattr(drawing, "normals" if kind == "units" else kind)(columns)
    assert len(set(seen)) == len(seen)
    assert {(low + 2**32 * high, attempt) for low, high, attempt, _ in seen} <= set(units)


def test_members_of_a_unit_and_the_unit_itself_have_different_numbers() -> None:
    numbers = rows_of([0, 1], [0, 0], members=3)
    assert numbers.rows == 6
    own = numbers.units(3)
    drawn = [numbers.uniforms(1), own.uniforms(2), numbers.uniforms(1), own.uniforms(1)]
    assert [len(part) for part in drawn] == [6, 2, 6, 2]
    assert len(torch.unique(torch.cat([part.flatten() for part in drawn]))) == 18
    again = rows_of([1], [0], members=3)  # unit 1 alone: its members are rows 3 to 5 above
    assert torch.equal(again.uniforms(1), drawn[0][3:]) and torch.equal(again.units(3).uniforms(2), drawn[1][1:])


def test_a_block_has_units_too_and_none_where_they_do_not_fit() -> None:
    numbers = BlockStream(3, 12).next()
    assert numbers.units(4).normals(2).shape == (3, 2)
    with pytest.raises(ValueError, match="12 rows are no whole number of units of 5"):
        numbers.units(5)
    with pytest.raises(ValueError, match="belong to units of 3, not of 2"):
        rows_of([0], [0], members=3).units(2)


def test_a_proposal_cannot_draw_past_its_last_counter() -> None:
    numbers = Counters(0, np.zeros(1, np.int64), np.zeros(1, np.int64))
    numbers._position = 2**32 - 1
    numbers.draw(4, lambda words: words)
    with pytest.raises(OverflowError, match=r"no more than 2\^34 words"):
        numbers.draw(1, lambda words: words)


def test_the_probes_that_the_bundles_were_measured_with_stay_as_they_are() -> None:
    """The thresholds of jbt in a bundle belong to these very numbers."""
    expected = [[0.0572456, 0.1093070, 1.1433009], [0.4943585, -1.6966487, -0.1325139]]
    torch.testing.assert_close(draw_probes(2, 3, 7), torch.tensor(expected), atol=1e-6, rtol=0)


def test_pairs_of_blocks_share_nothing() -> None:
    stream = BlockStream(3, 64)
    blocks = [stream.next().doubles(1).flatten().tolist() for _ in range(4)]
    assert all(not set(a) & set(b) for a, b in combinations(blocks, 2))
