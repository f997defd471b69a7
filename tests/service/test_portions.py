"""What streams does not depend on how it was cut, nor is it ever held whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_encoders import samples

from service.engine.encoders.formats import FORMATS, Format
from service.engine.portions import PORTION_BYTES, Facts, Portion, Summary, cut, facts_of, summary_of, told
from service.engine.rows import Rows, Samples

STREAMING = {name: fmt for name, fmt in FORMATS.items() if fmt.writer is not None}


def streamed(fmt: Format, facts: Facts, portions: Iterator[Portion], summary: Summary) -> bytes:
    assert fmt.writer is not None
    writer = fmt.writer(facts)
    return b"".join([writer.start(), *map(writer.add, portions), writer.finish(summary)])


def test_the_streaming_formats_are_those_of_the_contract() -> None:
    assert STREAMING.keys() == {"zip", "npy", "ndjson"}


@pytest.mark.parametrize("name", STREAMING)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=8),
    shape=st.sampled_from([(4, 5, 1), (3, 3, 3), (2,)]),
    weights=st.booleans(),
    offset=st.sampled_from([0, 1, 999_998, 2**62]),
)
def test_streamed_bytes_do_not_depend_on_how_the_rows_are_cut(
    name: str, sizes: list[int], shape: tuple[int, ...], weights: bool, offset: int
) -> None:
    fmt = STREAMING[name]
    if len(shape) == 1 and not fmt.points:
        return
    rows = samples(sum(sizes), shape, weights=weights)
    ends = np.cumsum(sizes).tolist()
    pieces = [
        Portion(
            rows.latents[start:end],
            None if rows.weights is None else rows.weights[start:end],
            None if rows.rows is None else rows.rows[start:end],
        )
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    facts = Facts("m", "f", rows.n, shape, "latentrs", 1, offset)
    summary = Summary(9, 0.5)
    whole = streamed(fmt, facts, cut(rows, rows.n), summary)
    assert streamed(fmt, facts, iter(pieces), summary) == whole
    if fmt.length is not None:
        assert len(whole) == fmt.length(facts)


@given(st.integers(1, 50), st.integers(1, 60))
def test_cutting_loses_and_repeats_nothing(n: int, size: int) -> None:
    rows = samples(n)
    portions = list(cut(rows, size))
    assert all(portion.n == size for portion in portions[:-1])
    for name in ("latents", "weights", "rows"):
        assert np.array_equal(np.concatenate([getattr(portion, name) for portion in portions]), getattr(rows, name))


def test_a_portion_has_about_the_size_it_should_have() -> None:
    small, huge = samples(9_000, (4, 4, 1)), samples(3, (400, 400, 3))
    first = next(cut(small))
    assert PORTION_BYTES * 0.9 < first.n * (16 + 16) <= PORTION_BYTES
    assert [portion.n for portion in cut(huge)] == [1, 1, 1]


def test_names_and_indices_start_at_the_offset() -> None:
    rows = samples(2)
    facts = Facts("m", "f", 2, (6, 7, 3), "latentrs", 1, offset=999_999)
    archive = streamed(FORMATS["zip"], facts, cut(rows), Summary())
    assert b"0999999.png" in archive and b"1000000.png" in archive
    lines = streamed(FORMATS["ndjson"], facts, cut(rows), Summary()).splitlines()
    assert lines[0].startswith(b'{"index":999999,') and lines[1].startswith(b'{"index":1000000,')


@pytest.mark.parametrize("name", STREAMING)
def test_memory_is_bounded_whatever_the_length(name: str) -> None:
    fmt, portions = STREAMING[name], 200
    rows = samples(64, (32, 32, 1))
    (portion,) = cut(rows, 64)
    assert fmt.writer is not None
    writer, size, kept = fmt.writer(Facts("m", "f", 64 * portions, (32, 32, 1))), 0, 0
    tracemalloc.start()
    for _ in range(portions):
        size += len(writer.add(portion))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size > 9_000_000
    assert kept < 200 * 64 * portions  # a name, a weight, a line of the directory


def test_facts_say_what_applies_and_nothing_else() -> None:
    chosen = samples(4, (2,), seed=None)
    facts, summary = facts_of(chosen), summary_of(chosen)
    assert (facts.kind, facts.dtype, facts.row_bytes) == ("points", np.float32, 8)
    assert list(told(facts, summary)) == [
        "model", "method", "seed", "offset", "n", "proposals", "acceptance_rate", "fingerprint",
    ]  # fmt: skip
    given_latents = Rows("m", chosen.latents, None, None, "f", {})
    assert told(facts_of(given_latents), summary_of(given_latents)) == {"model": "m", "n": 4, "fingerprint": "f"}
    assert facts_of(given_latents).kind is None
    assert isinstance(chosen, Samples)
