"""The waiting room: admission at the door, turns inside. Shared by callers and the device loop, under one lock."""

from __future__ import annotations

import threading
from collections import deque
from math import ceil

from service.engine.errors import Draining, Overloaded
from service.engine.jobs import Job
from service.engine.options import EngineOptions
from service.metrics.registry import Metrics

FIRST_GUESS_ROWS_PER_SECOND = 500.0
RATE_MEMORY = 0.9
LONGEST_RETRY_SECONDS = 600


class JobQueue:
    """Jobs in order of turn; ``submit`` is one synchronous decision, ``next_turn`` sleeps until there is work."""

    def __init__(self, options: EngineOptions, metrics: Metrics) -> None:
        self._options, self._metrics = options, metrics
        self._ring: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = self.cut_off = False
        self._waiting_rows = self._bulk_rows = self._admitted = 0
        self._rows_per_second = FIRST_GUESS_ROWS_PER_SECOND

    def submit(self, job: Job) -> None:
        """Admit ``job``. Raises Draining, Overloaded (with the seconds after which there should be room)."""
        with self._changed:
            if self._closed:
                raise Draining("The server is shutting down and takes no new work.")
            bulk = self._is_bulk(job)
            full = bulk and self._bulk_rows > 0 and self._bulk_rows + job.n > self._options.queue_rows
            if full or self._admitted >= self._options.queue_requests:
                seconds = self._retry_after()
                raise Overloaded(
                    f"{self._waiting_rows} samples are waiting already; try again in {seconds} s.", seconds
                )
            self._admitted += 1
            self._waiting_rows += job.n
            self._bulk_rows += job.n if bulk else 0
            self._metrics.queue_rows.set(self._waiting_rows)
            self._ring.append(job)
            self._changed.notify()

    def next_turn(self) -> list[Job] | None:
        """All jobs in order of turn, as soon as there is one; None when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._ring or self._closed)
            return list(self._ring) or None

    def progressed(self, rows: int, seconds: float) -> None:
        """``rows`` were made in ``seconds``: the queue is shorter, the estimate of the speed fresher."""
        with self._changed:
            self._waiting_rows -= rows
            self._metrics.queue_rows.set(self._waiting_rows)
            if rows and seconds > 0:
                rate = rows / seconds
                self._rows_per_second = RATE_MEMORY * self._rows_per_second + (1 - RATE_MEMORY) * rate

    def requeue(self, job: Job) -> None:
        """``job`` had its turn: it goes behind everyone else."""
        with self._changed:
            self._ring.remove(job)
            self._ring.append(job)

    def leave(self, job: Job) -> None:
        """``job`` is finished, failed or cancelled; what it still missed no longer waits."""
        with self._changed:
            self._ring.remove(job)
            self._admitted -= 1
            self._waiting_rows -= job.missing
            self._bulk_rows -= job.n if self._is_bulk(job) else 0
            self._metrics.queue_rows.set(self._waiting_rows)

    def close(self) -> None:
        """No new work; ``next_turn`` ends when the admitted work has."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self, error: Exception) -> None:
        """The device loop is gone: nobody shall wait for it."""
        with self._changed:
            self._closed = True
            jobs, self._ring = list(self._ring), deque()
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)

    def _is_bulk(self, job: Job) -> bool:
        return job.n > self._options.batch_rows

    def _retry_after(self) -> int:
        return min(max(1, ceil(self._waiting_rows / self._rows_per_second)), LONGEST_RETRY_SECONDS)
