"""What a request took is given back when it is over, whatever its end, and without the garbage collector's help."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Api
from draws import ask
from gates import Gate, spoil
from tiny_bundles import BATCH

from service.engine.engine import Engine
from service.engine.errors import EngineError
from service.engine.evaluations import DECODE
from service.engine.rows import SampleRequest
from service.http import answers

Start = Callable[..., Engine]
N = 10 * BATCH
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory")
BODY = b'{"latents": ' + str([[0.0, 0.0]] * N).encode() + b"}"


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def taken(engine: Engine) -> int:
    """Once the device has been round again."""
    ask(engine, 1, "prior", decode=False).result(timeout=60)
    return engine._queue.memory.taken


def end(engine: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch, how: str, future: Future[Any]) -> None:
    """While its first batch is being made."""
    gate.wait()
    if how == "cancelled":
        assert future.cancel()
    elif how == "late":
        (job,) = engine._queue._jobs.values()
        job.deadline = 0.0
        engine._queue._timed.add(job)
    elif how == "out of memory":
        spoil(engine.model("points").generator, monkeypatch, lambda _: NO_MEMORY)
    elif how == "failed":
        monkeypatch.setattr(engine.model("points").generator, "forward", None)
    gate.let(1_000)


@pytest.mark.parametrize("how", ["cancelled", "late", "failed", "out of memory"])
@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("kept", [True, False])
def test_work_that_comes_to_nothing_keeps_no_memory(
    start: Start, monkeypatch: pytest.MonkeyPatch, how: str, seed: int | None, kept: bool
) -> None:
    engine = start(result_bytes=1)
    gate = Gate(engine.model("points").generator, monkeypatch)
    lease = engine.lease() if kept else None
    future = engine.submit(SampleRequest(N, "points", "prior", seed), lease=lease)
    end(engine, gate, monkeypatch, how, future)
    with pytest.raises((EngineError, CancelledError)) as raised:
        future.result(timeout=60)
    assert taken(engine) == 0
    assert raised.value is not None, "whoever holds what it failed with holds no memory"


@pytest.mark.parametrize("how", ["done", "cancelled", "failed", "out of memory"])
@pytest.mark.parametrize("seed", [None, 1])
def test_what_was_made_for_a_request_goes_with_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, how: str, seed: int | None
) -> None:
    engine = start()
    gate = Gate(engine.model("points").generator, monkeypatch)
    future = engine.submit(SampleRequest(N, "points", "prior", seed))
    gate.wait()
    held = weakref.ref(next(iter(engine._queue._jobs.values())))
    gate.let(1)
    end(engine, gate, monkeypatch, how, future)
    with suppress(CancelledError, EngineError):  # to wait() a future that was only cancelled is not done
        future.result(timeout=60)
    taken(engine)
    if (job := held()) is not None:
        assert how in ("failed", "out of memory"), "a traceback may hold a job, nothing else"
        assert vars(job)["latents"] is vars(job)["rows"] is vars(job)["supply"] is None


def test_a_device_that_waits_holds_nothing_of_its_last_turn(start: Start) -> None:
    engine = start()
    samples = ask(engine, N, "prior").result(timeout=60)
    held = weakref.ref(samples.rows)
    del samples
    taken(engine)
    assert held() is None


def test_a_stream_that_was_read_to_its_end_leaves_nothing_behind(start: Start) -> None:
    engine = start()
    stream = engine.stream(SampleRequest(N, "points", "prior"))
    stream.listen(lambda: None)
    wait([stream._job.future], timeout=60)
    assert sum(portion.n for portion in stream.take()) == N
    held = weakref.ref(stream._job)
    del stream
    taken(engine)
    assert held() is None


def test_latents_of_the_caller_go_with_the_answer(start: Start) -> None:
    engine = start()
    lease = engine.lease()
    rows = engine.evaluate(DECODE, np.zeros((N, 2), np.float32), "points", lease=lease).result(timeout=60)
    held = weakref.ref(rows.latents)
    assert taken(engine) > 0, "the caller holds the answer"
    del rows
    assert held() is None
    lease.release()
    assert taken(engine) == 0


class Client:
    """Sends its request and hangs up once ``leaves`` says so."""

    def __init__(self, path: str, query: str, body: bytes, leaves: Callable[[], object]) -> None:
        self.scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http", "server": ("test", 80),
            "client": ("test", 1), "root_path": "", "headers": [(b"content-type", b"application/json")],
        }  # fmt: skip
        self.statuses: list[int] = []
        self._messages = iter([{"type": "http.request", "body": body, "more_body": False}])
        self._leaves = leaves

    async def receive(self) -> dict[str, Any]:
        if (message := next(self._messages, None)) is None:
            await asyncio.to_thread(self._leaves)
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Any) -> None:
        self.statuses += [message["status"]] if "status" in message else []


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("/sample", f"model=points&n={N}&format=npz", b""),
        ("/decode", "model=points&format=npz", BODY),
        ("/decode", "model=points&format=ndjson", BODY),
    ],
)
def test_a_client_that_hangs_up_keeps_no_memory(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, query: str, body: bytes
) -> None:
    gate = Gate(api.engine.model("points").generator, monkeypatch)
    client = Client(path, query, body, gate.wait)
    asyncio.run(api.app(client.scope, client.receive, client.send))  # type: ignore[arg-type]
    assert client.statuses == [499]
    gate.let(1_000)
    assert taken(api.engine) == 0


def test_an_answer_that_cannot_be_encoded_keeps_no_memory(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(answers, "_answer_rows", fails)
    assert api.post(f"/sample?model=points&n={N}&format=npz").status_code == 500
    assert taken(api.engine) == 0
