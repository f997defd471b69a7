"""An answer that is read while it is made, as the event loop sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from service.engine.portions import Portion, Summary, merged
from service.engine.streaming import RowStream


async def portions_of(stream: RowStream) -> AsyncGenerator[Portion | Summary, None]:
    """The portions of ``stream`` in order, then its summary. Closed early, the work stops at the next batch.

    Raises what the work failed with, after the rows that were made before.
    """
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    try:
        stream.listen(lambda: _tell(loop, news))
        while True:
            news.clear()
            made = stream.made  # before taking: what was made until then is taken below
            if portions := stream.take():
                yield merged(portions)  # one hand-over to an encoder for all of them
            if made:
                break
            await news.wait()
        yield stream.summary()
    finally:
        stream.close()


def _tell(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(news.set)
