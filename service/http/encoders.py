"""Threads for what must not be done on the event loop: writing answers, parsing bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
# Milliseconds of a thread in most formats; a sheet of 64 MiB takes a second.
SMALL_BYTES = 256 * 2**10


class Encoders:
    """``threads`` for small work and as many for large: first come, first served in each, and small never waits for
    large, nor the other way round."""

    def __init__(self, threads: int) -> None:
        self._small = ThreadPoolExecutor(threads, thread_name_prefix="winnow-encode-small")
        self._large = ThreadPoolExecutor(threads, thread_name_prefix="winnow-encode-large")

    async def run(self, size: int, work: Callable[..., Result], *arguments: object) -> Result:
        """``work(*arguments)``, which goes through ``size`` bytes."""
        threads = self._small if size < SMALL_BYTES else self._large
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)
