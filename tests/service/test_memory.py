"""Memory of answers that are held whole: it counts until the last byte is on its way, and no path forgets it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from books import books_balance
from conftest import Api
from draws import ask, draw
from gates import Gate, spoil
from tiny_bundles import BATCH

from service.engine import warmup
from service.engine.engine import Engine
from service.engine.errors import OutOfMemory, Overloaded
from service.engine.evaluations import DECODE
from service.engine.jobs import SampleJob
from service.engine.memory import Lease, ResultMemory
from service.engine.portions import Portion
from service.engine.rows import SampleRequest
from service.http.answers import PIECE_BYTES, WholeAnswer

Start = Callable[..., Engine]
N = 10 * BATCH
POINT = 4 * (2 + 1 + 2)  # a latent, its weight, a point


def test_one_answer_always_fits_and_a_second_only_where_there_is_room() -> None:
    memory = ResultMemory(100)
    assert memory.fits(1_000)
    Lease(memory).take(60)
    assert memory.fits(1_000), "nobody holds it"
    held = Lease(memory)
    held.take(60)
    assert memory.fits(40)
    assert not memory.fits(41)
    assert memory.fits(0)


def test_a_lease_ends_once() -> None:
    memory = ResultMemory(100)
    lease = Lease(memory)
    lease.take(60)
    lease.release()
    lease.release()
    del lease
    gc.collect()
    assert memory.taken == 0


def test_an_answer_that_finds_no_memory_is_refused_with_a_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(result_bytes=N * POINT)
    gate = Gate(engine.model("points").generator, monkeypatch)
    first = ask(engine, N, "prior")
    with pytest.raises(Overloaded, match="no memory is left") as refused:
        ask(engine, N, "prior")
    assert refused.value.retry_after >= 1
    small, stream = ask(engine, 1, "prior"), engine.stream(SampleRequest(N, "points", "prior"))
    gate.let(1_000)
    assert [first.result(timeout=60).n, small.result(timeout=60).n] == [N, 1]
    stream.close()
    assert ask(engine, N, "prior").result(timeout=60).n == N


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_the_memory_of_work_that_comes_to_nothing_is_given_back(
    start: Start, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    engine = start(result_bytes=1)
    generator = engine.model("points").generator
    gate = Gate(generator, monkeypatch)
    future = ask(engine, N, "prior")
    gate.wait()
    if how == "fails":
        monkeypatch.setattr(generator, "forward", None)
    else:
        future.cancel()
    gate.let(1_000)
    if how == "fails":
        assert future.exception(timeout=60) is not None
    ask(engine, 1, "prior", decode=False).result(timeout=60)
    assert engine._queue.memory.taken == 0


def test_a_caller_s_lease_lasts_as_long_as_the_caller_wants(start: Start) -> None:
    engine = start(result_bytes=N * POINT)
    lease = engine.lease()
    samples = engine.submit(SampleRequest(N, "points", "prior"), lease=lease).result(timeout=60)
    assert samples.n == N
    with pytest.raises(Overloaded, match="no memory is left"):
        ask(engine, N, "prior")
    lease.release()
    assert ask(engine, N, "prior").result(timeout=60).n == N


def test_decoded_latents_take_memory_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(result_bytes=1)
    gate = Gate(engine.model("points").generator, monkeypatch)
    latents = np.zeros((N, 2), np.float32)
    first = engine.evaluate(DECODE, latents, "points")
    with pytest.raises(Overloaded, match="no memory is left"):
        engine.evaluate(DECODE, latents, "points")
    gate.let(1_000)
    assert first.result(timeout=60).n == N


class Reader:
    """Takes one piece of an answer whenever it is let."""

    def __init__(self) -> None:
        self.pieces: list[dict[str, Any]] = []
        self.let, self.took = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def send(self, message: Any) -> None:
        await self.let.acquire()
        self.pieces.append(message)
        self.took.release()


def test_a_slow_reader_holds_its_lease_until_the_last_piece() -> None:
    memory = ResultMemory(1)
    body = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"

    async def read() -> list[dict[str, Any]]:
        lease = Lease(memory)
        lease.take(len(body))
        reader = Reader()
        answer = WholeAnswer(body, {"Sample-Count": "1"}, "application/zip", lease)
        task = asyncio.ensure_future(answer({}, None, reader.send))  # type: ignore[arg-type]
        for _ in range(4):
            reader.let.release()
            await reader.took.acquire()
        assert memory.taken == len(body)
        reader.let.release()
        await task
        assert memory.taken == 0
        return reader.pieces

    start, *pieces = asyncio.run(read())
    assert (b"content-length", str(len(body)).encode()) in start["headers"]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert [piece["more_body"] for piece in pieces] == [True, True, True, False]


def test_the_lease_of_a_reader_that_is_gone_ends() -> None:
    memory = ResultMemory(1)
    lease = Lease(memory)
    lease.take(10)

    async def gone(_: Any) -> None:
        raise OSError

    with pytest.raises(OSError):
        asyncio.run(WholeAnswer(b"x" * 10, {}, "application/zip", lease)({}, None, gone))  # type: ignore[arg-type]
    assert memory.taken == 0


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """For answers of N samples."""
    lay_out = SampleJob._lay_out

    def cramped(job: SampleJob, portion: Portion) -> None:
        if job.n == N:
            raise MemoryError
        lay_out(job, portion)

    monkeypatch.setattr(SampleJob, "_lay_out", cramped)


@pytest.mark.usefixtures("no_room")
def test_an_answer_that_cannot_be_laid_out_fails_alone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    calls = spoil(engine.model("points").generator, monkeypatch, lambda _: None)
    with engine._queue._changed:
        large, small = ask(engine, N, "prior"), ask(engine, 1, "prior")
    with pytest.raises(OutOfMemory, match="a format that streams"):
        large.result(timeout=60)
    assert small.result(timeout=60).n == 1
    assert calls == [BATCH], "nothing is decoded twice, and the device's batches stay as they are"
    assert engine.served("points").batch_rows == BATCH
    assert books_balance(engine)


@pytest.mark.usefixtures("no_room", "toys")
@pytest.mark.parametrize(("method", "seed"), [("prior", 1), ("picky", 1), ("picky", None), ("prior", None)])
def test_wherever_its_rows_come_from_they_are_accounted_for(
    start: Start, monkeypatch: pytest.MonkeyPatch, method: str, seed: int | None
) -> None:
    """From slots of its own, from a method that decodes, from a request that left."""
    monkeypatch.setattr(warmup, "rows_mix", lambda *_: False)
    engine = start()
    with monkeypatch.context() as meanwhile:
        gate = Gate(engine.model("points").generator, meanwhile)
        left = ask(engine, 2 * N, "prior")
        gate.wait()
        assert left.cancel()
        gate.let(1_000)
        draw(engine, 1, "prior", decode=False)
    assert engine.metrics.value("winnow_supply_rows", model="points") == BATCH
    with pytest.raises(OutOfMemory, match="a format that streams"):
        draw(engine, N, method, seed)
    assert engine.served("points").batch_rows == BATCH
    assert books_balance(engine)


@pytest.mark.parametrize("path", [f"/sample?model=points&n={N}&format=npz", f"/sample?model=points&n={N}&format=json"])
def test_over_http_nothing_stays_taken(api: Api, path: str) -> None:
    assert api.post(path).status_code == 200
    gc.collect()
    assert api.engine._queue.memory.taken == 0
