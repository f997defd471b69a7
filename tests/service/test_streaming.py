"""Answers that are read while they are made: the same rows, bounded, stopped by whoever stops reading."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from books import books_balance
from gates import Gate, spoil
from tiny_bundles import BATCH

from service.engine import warmup
from service.engine.engine import Engine
from service.engine.errors import GenerationFailed
from service.engine.orders import OUTBOX_BATCHES
from service.engine.outbox import rows_in
from service.engine.portions import Portion, Summary
from service.engine.rows import SampleRequest
from service.engine.streaming import RowStream

Start = Callable[..., Engine]
ROOM = OUTBOX_BATCHES * BATCH


def read(stream: RowStream) -> tuple[list[Portion], Summary]:
    """Everything, to the end."""
    news, portions = threading.Event(), list[Portion]()
    stream.listen(news.set)
    while True:
        news.clear()
        made = stream.made
        portions += stream.take()
        if made:
            return portions, stream.summary()
        assert news.wait(timeout=60)


@pytest.fixture
def engine(start: Start) -> Engine:
    """Whose outboxes hold no more than they must."""
    return start(outbox_bytes=1)


@pytest.mark.parametrize("method", ["prior", "latentrs"])
@pytest.mark.parametrize("decode", [True, False])
def test_a_stream_has_the_rows_of_the_whole_answer(engine: Engine, method: str, decode: bool) -> None:
    request = SampleRequest(n=150, method=method, seed=4, decode=decode, offset=3)
    whole = engine.submit(request).result(timeout=60)
    portions, summary = read(engine.stream(request))
    assert np.array_equal(np.concatenate([portion.latents for portion in portions]), whole.latents)
    assert np.array_equal(np.concatenate([portion.weights for portion in portions]), whole.weights)
    assert (summary.proposals, summary.acceptance_rate) == (whole.proposals, whole.acceptance_rate)
    if decode:
        assert np.array_equal(np.concatenate([portion.rows for portion in portions]), whole.rows)
        assert books_balance(engine)
    else:
        assert all(portion.rows is None for portion in portions)


def test_what_waits_for_a_reader_holds_no_more_than_its_rows(engine: Engine) -> None:
    portions, _ = read(engine.stream(SampleRequest(n=2, model="points", method="prior")))
    assert portions and all(portion.rows is not None and portion.rows.base is None for portion in portions)


def test_facts_are_known_before_the_first_row(engine: Engine) -> None:
    stream = engine.stream(SampleRequest(n=9, method="prior", seed=2, offset=5))
    facts = stream.facts
    assert (facts.model, facts.method, facts.n, facts.seed, facts.offset) == ("images", "prior", 9, 2, 5)
    assert (facts.shape, facts.fingerprint) == ((28, 28, 1), engine.fingerprints["images"])
    stream.close()


@pytest.mark.parametrize("seed", [None, 1])
def test_a_reader_that_takes_nothing_stops_its_own_work_and_nobody_elses(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, seed: int | None
) -> None:
    calls = spoil(engine.model("images").generator, monkeypatch, lambda z: None)
    stream = engine.stream(SampleRequest(n=100 * BATCH, seed=seed))
    while engine.metrics.value("winnow_supply_rows", model="images") < ROOM:
        engine.submit(SampleRequest(n=1, model="points")).result(timeout=60)
    before = len(calls)
    for _ in range(20):
        engine.submit(SampleRequest(n=1, model="points")).result(timeout=60)
    assert len(calls) == before <= 2 * ROOM
    portions, summary = read(stream)
    assert sum(portion.n for portion in portions) == 100 * BATCH
    assert summary.proposals is not None
    assert books_balance(engine)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(("method", "over"), [("picky", 0), ("prior", BATCH - 1)])
def test_where_rows_keep_their_slots_no_more_lies_ready_however_often_it_is_read(
    start: Start, monkeypatch: pytest.MonkeyPatch, method: str, over: int
) -> None:
    """A batch of its own slots may hold more rows than there was room for; a method's own rows can wait with it."""
    monkeypatch.setattr(warmup, "rows_mix", lambda *_: False)
    engine = start(outbox_bytes=1)
    stream = engine.stream(SampleRequest(n=20 * ROOM, model="points", method=method, seed=1, offset=3))
    ticket, lay = stream._job.ticket, list[int]()
    while sum(lay) < 20 * ROOM:
        while ticket.rows + ticket.taken and not ticket.stuck:
            engine.submit(SampleRequest(n=1, model="images", decode=False)).result(timeout=60)
        lay.append(rows_in(stream.take()))
    assert max(lay) <= ROOM + over
    stream.close()
    engine.submit(SampleRequest(n=1)).result(timeout=60)
    assert books_balance(engine)


def test_a_reader_that_leaves_stops_the_work_and_what_it_left_is_waste(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(engine.model("images").generator, monkeypatch)
    stream = engine.stream(SampleRequest(n=100 * BATCH))
    gate.let(2)
    for _ in range(3):
        gate.wait()
    taken = sum(portion.n for portion in stream.take())
    assert taken == 2 * BATCH
    stream.close()
    gate.let(1_000)
    assert engine.submit(SampleRequest(n=1)).result(timeout=60).n == 1
    assert gate.calls == 4
    assert engine.metrics.value("winnow_delivered_rows_total", model="images") == taken + 1
    assert engine.metrics.value("winnow_rows_wasted_total", reason="cancelled") == BATCH
    assert engine.metrics.value("winnow_queue_rows") == 0
    assert books_balance(engine)


def test_what_fails_on_the_way_is_told_after_the_rows_that_were_made(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1_000))
    spoil(
        engine.model("images").generator, monkeypatch, lambda _: RuntimeError("no more") if next(calls) >= 2 else None
    )
    stream = engine.stream(SampleRequest(n=100 * BATCH))
    with pytest.raises(GenerationFailed, match="no more"):
        read(stream)
    assert engine.metrics.value("winnow_delivered_rows_total", model="images") == 2 * BATCH
    assert books_balance(engine)


def test_a_closed_stream_takes_no_row_back(engine: Engine) -> None:
    stream = engine.stream(SampleRequest(n=3 * ROOM))
    stream.close()
    stream.close()
    assert stream.take() == []
    engine.submit(SampleRequest(n=1)).result(timeout=60)
    assert engine.metrics.value("winnow_supply_rows", model="images") == 0
    assert books_balance(engine)
