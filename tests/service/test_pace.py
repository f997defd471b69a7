"""When the reader of a stream is told, and how much it is then handed at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import numpy as np
import pytest

from service.engine.outbox import Outbox
from service.engine.portions import Portion, Summary
from service.http import streams
from service.http.streams import portions_of

ROOM = 8
HOUR = 3_600.0
Portions = AsyncGenerator[Portion | Summary, None]


def portion(rows: int) -> Portion:
    return Portion(np.zeros((rows, 2), np.float32), None, None)


def test_the_reader_is_told_of_the_first_portion_and_of_that_which_takes_half_the_room() -> None:
    told, outbox = list[int](), Outbox(ROOM)
    outbox.listen(lambda: told.append(len(told)))
    assert len(told) == 1, "whoever listens looks at once"
    heard = []
    for rows in (1, 1, 1, 1, 1):
        outbox.put(portion(rows))
        heard.append(len(told))
    assert heard == [2, 2, 2, 3, 3]
    assert sum(each.n for each in outbox.take()) == 5 and not outbox.pressing
    outbox.put(portion(1))
    assert len(told) == 4


class Work(Outbox):
    """A stream whose rows come when the test says so."""

    made = False

    def end(self) -> None:
        self.made = True
        self.tell()

    def summary(self) -> Summary:
        return Summary()


async def settled() -> None:
    """Everything that can go on without the clock has."""
    for _ in range(20):
        await asyncio.sleep(0)


def played(act: Callable[[Work, Portions], object]) -> None:
    async def play() -> None:
        work = Work(ROOM)
        await act(work, portions_of(work))  # type: ignore[arg-type, misc]

    asyncio.run(asyncio.wait_for(play(), 30))


async def rows_of(portions: Portions) -> int:
    item = await anext(portions)
    assert isinstance(item, Portion)
    return item.n


def test_the_first_rows_come_at_once_and_the_last_with_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PACE_SECONDS", HOUR)

    async def act(work: Work, portions: Portions) -> None:
        work.put(portion(1))
        assert await rows_of(portions) == 1
        following = asyncio.ensure_future(rows_of(portions))
        for _ in range(3):
            work.put(portion(1))
            await settled()
        assert not following.done()
        work.end()
        assert await following == 3
        assert isinstance(await anext(portions), Summary)

    played(act)


def test_nobody_waits_once_half_the_room_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PACE_SECONDS", HOUR)

    async def act(work: Work, portions: Portions) -> None:
        for rows in (ROOM, ROOM // 2, ROOM):
            work.put(portion(rows))
            assert await rows_of(portions) == rows
        following = asyncio.ensure_future(rows_of(portions))
        await settled()
        work.put(portion(1))
        await settled()
        work.put(portion(ROOM // 2))
        assert await following == 1 + ROOM // 2

    played(act)


def test_a_reader_that_goes_while_rows_are_gathered_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PACE_SECONDS", HOUR)

    async def act(work: Work, portions: Portions) -> None:
        work.put(portion(1))
        assert await rows_of(portions) == 1
        following = asyncio.ensure_future(rows_of(portions))
        work.put(portion(1))
        await settled()
        following.cancel()
        await settled()
        assert following.cancelled() and not work.put(portion(1))

    played(act)


def test_rows_of_slow_work_come_when_the_pace_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PACE_SECONDS", 0.01)

    async def act(work: Work, portions: Portions) -> None:
        for rows in (1, 2, 3):
            work.put(portion(rows))
            assert await rows_of(portions) == rows

    played(act)
