"""The load generator's client: it reads what HTTP/1.1 servers write, hangs up, reads slowly, and hides no failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any

import pytest

from benchmarks.serving.client import Answer, Ask, Client
from benchmarks.serving.load import closed_loop, open_loop
from benchmarks.serving.response import BadResponse, ResponseParser

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSample-Count: 1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\n\r\nhello"


@pytest.mark.parametrize("text", [PLAIN, CHUNKED])
@pytest.mark.parametrize("step", [1, 2, 7, 1_000])
def test_a_response_is_the_same_however_its_bytes_are_cut(text: bytes, step: int) -> None:
    parser = ResponseParser()
    for start in range(0, len(text), step):
        assert not parser.done
        parser.feed(text[start : start + step])
    assert (parser.status, bytes(parser.body or b""), parser.size) == (200, b"hello", 5)
    assert parser.done and parser.reusable


def test_a_body_without_a_length_ends_when_the_peer_closes() -> None:
    parser = ResponseParser()
    parser.feed(UNTIL_CLOSE)
    assert not parser.done
    parser.end()
    assert parser.done and not parser.reusable


def test_an_answer_without_a_body_is_over_after_its_head() -> None:
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")
    assert parser.done and parser.headers == {"etag": "x"}


@pytest.mark.parametrize("text", [b"", PLAIN[:20], PLAIN[:-1], CHUNKED[:-2], CHUNKED[:60]])
def test_what_is_cut_short_is_no_answer(text: bytes) -> None:
    parser = ResponseParser()
    parser.feed(text)
    with pytest.raises(BadResponse, match=r"cut short|without an answer"):
        parser.end()


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\r\n\r\n",
        b"x" * 70_000,
        PLAIN + b"more",
        CHUNKED + b"more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 3_000,
    ],
)
def test_what_is_no_http_is_refused(text: bytes) -> None:
    with pytest.raises(BadResponse):
        ResponseParser().feed(text)


def against(talk: Talk, work: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    """The result of ``work`` with a client of a server that does ``talk`` on each connection."""

    async def run() -> Any:
        talks: list[asyncio.Task[None]] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talks.append(task)
            try:
                await talk(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            async with asyncio.timeout(20), Client("127.0.0.1", server.sockets[0].getsockname()[1]) as client:
                return await work(client)
        finally:
            server.close()
            await asyncio.gather(*talks)

    return asyncio.run(run())


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Every request on the connection gets PLAIN."""
    while await reader.readline():
        while (await reader.readline()).strip():
            pass
        writer.write(PLAIN)
        await writer.drain()


def test_connections_are_used_again() -> None:
    opened = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await hello(reader, writer)

    run = against(counting, lambda client: closed_loop(client, lambda _: Ask("/", 3, keep=True), 4, most=50))
    assert opened == 4
    assert (len(run.outcomes), run.images) == (50, 150)
    assert {outcome.answer.body for outcome in run.outcomes} == {b"hello"}


@pytest.mark.parametrize(
    ("said", "error"), [(b"", "without an answer"), (PLAIN[:-2], "cut short"), (b"?\r\n\r\n", "status line")]
)
def test_a_failed_answer_says_so_and_is_never_ok(said: bytes, error: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    answer: Answer = against(talk, lambda client: client.ask(Ask("/")))
    assert error in (answer.error or "")
    assert not answer.ok and not answer.refused


def test_a_server_that_is_not_there_is_an_answer_too() -> None:
    async def work() -> Answer:
        listener = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        return await Client("127.0.0.1", port).ask(Ask("/"))

    assert (asyncio.run(work()).error or "").startswith("no connection")


def test_who_hangs_up_is_gone_for_the_server() -> None:
    noticed: list[bytes] = []
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            noticed.append(await reader.read())
        except ConnectionResetError:
            noticed.append(b"reset")
        gone.set()

    async def leave(client: Client) -> Answer:
        answer = await client.ask(Ask("/", hang_up=0.01))
        await gone.wait()  # while the client still lives
        return answer

    answer: Answer = against(talk, leave)
    assert answer.hung_up and not answer.ok
    assert noticed in ([b""], [b"reset"])


def test_a_slow_reader_takes_the_time_its_rate_says() -> None:
    size = 40_000
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, size, 1_000):
            writer.write((head if not start else b"") + bytes(1_000))
            await writer.drain()

    started = perf_counter()
    answer: Answer = against(talk, lambda client: client.ask(Ask("/", read_rate=400_000.0)))
    assert (answer.ok, answer.size) == (True, size)
    assert perf_counter() - started >= 0.3 * size / 400_000  # all but its last part, which may be large


def test_an_open_loop_counts_from_the_intended_time_and_never_waits_for_answers() -> None:
    """Three requests at time 0 to a server that answers none of them before all three have come."""
    everyone = asyncio.Event()
    arrived = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        arrived += 1
        if arrived == 3:
            everyone.set()
        await everyone.wait()
        writer.write(PLAIN)

    run = against(talk, lambda client: open_loop(client, [(0.0, Ask("/"))] * 3))
    assert all(outcome.answer.ok for outcome in run.outcomes)
    assert all(outcome.intended == run.started for outcome in run.outcomes)
    assert all(outcome.latency >= outcome.lag >= 0 for outcome in run.outcomes)
