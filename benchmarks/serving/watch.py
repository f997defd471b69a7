"""The server's resident memory while something else goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from benchmarks.serving.processes import Server

EVERY_SECONDS = 0.5


@dataclass
class Memory:
    """Resident bytes, one value every ``EVERY_SECONDS``."""

    values: list[float] = field(default_factory=list)

    @property
    def first(self) -> float:
        return self.values[0]

    @property
    def growth(self) -> float:
        return self.values[-1] - self.values[0]

    def __str__(self) -> str:
        first, most, last = (value / 2**20 for value in (self.values[0], max(self.values), self.values[-1]))
        return f"{first:.0f} MiB at the start, {most:.0f} at most, {last:.0f} at the end"


@contextlib.asynccontextmanager
async def watch_memory(server: Server) -> AsyncIterator[Memory]:
    """Watches from beginning to end of the block, at least at both."""
    memory = Memory([server.resident_bytes()])

    async def look() -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            memory.values.append(server.resident_bytes())

    watching = asyncio.create_task(look())
    try:
        yield memory
    finally:
        watching.cancel()
        memory.values.append(server.resident_bytes())
