"""An answer that is read while it is made, as the event loop sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from service.engine.portions import Portion, Summary, merged
from service.engine.streaming import RowStream

# Each portion costs the server about a millisecond of CPU time, whatever is in it, and a batch of small images is ready
# every few milliseconds: so long they are gathered, while there is room.
PACE_SECONDS = 0.05


async def portions_of(stream: RowStream) -> AsyncGenerator[Portion | Summary, None]:
    """The portions of ``stream`` in order, then its summary. Closed early, the work stops at the next batch.

    The first comes as soon as it is made, and so does the last; what is made in between is gathered for PACE_SECONDS.
    Raises what the work failed with, after the rows that were made before.
    """
    loop, news, begun, made = asyncio.get_running_loop(), asyncio.Event(), False, False

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():
            await news.wait()
            news.clear()

    try:
        stream.listen(lambda: _tell(loop, news))
        while not made:
            await until(lambda: stream.ready or stream.made)
            if begun:
                with suppress(TimeoutError):
                    await asyncio.wait_for(until(lambda: stream.pressing or stream.made), PACE_SECONDS)
            made = stream.made  # before taking: what was made until then is taken below
            if portions := stream.take():
                yield merged(portions)  # one hand-over to an encoder for all of them
                begun = True
        yield stream.summary()
    finally:
        stream.close()


def _tell(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(news.set)
