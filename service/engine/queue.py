"""The waiting room: admission at the door, the scheduler inside, one lock around both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from service.engine.admission import Speed, Speeds, fair_wait, retry_after
from service.engine.errors import DeadlineTooShort, Draining, Overloaded
from service.engine.jobs import Job
from service.engine.options import EngineOptions
from service.engine.scheduler import Scheduler, Ticket
from service.metrics.registry import Metrics

Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """What the device loop does next: ``chores``, let ``over`` go (cancelled, past their deadline, cut off), or make
    ``shares``: rows for jobs of one lane. All empty: nothing is runnable, it may look after its pools."""

    chores: Sequence[Callable[[], None]]
    over: Sequence[Job]
    shares: Sequence[tuple[Job, int]]


class JobQueue:
    """``submit`` is one synchronous decision, ``next`` sleeps until there is work. Any thread may call either."""

    def __init__(self, options: EngineOptions, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._options, self._metrics, self._clock = options, metrics, clock
        self._scheduler = Scheduler()
        self._jobs: dict[Ticket, Job] = {}
        self._timed: set[Job] = set()  # those with a deadline
        self._cancelled: list[Job] = []
        self._chores: dict[Future[Any], Callable[[], None]] = {}
        self._changed = threading.Condition()
        self._closed = self._cut_off = False
        self._waiting_rows = self._result_bytes = 0
        self._speeds = Speeds()
        self._speed: dict[Ticket, Speed] = {}

    def submit(self, job: Job) -> None:
        """Admit ``job``. Raises Draining, DeadlineTooShort, Overloaded (with the seconds after which to ask again)."""
        with self._changed:
            if self._closed:
                raise Draining("The server is shutting down and takes no new work.")
            self._speed[job.ticket] = self._speeds.of(job.kind, job.row_seconds)
            try:
                self._refuse_or_not(job)
            except Overloaded:
                del self._speed[job.ticket]
                raise
            self._jobs[job.ticket] = job
            if job.deadline < inf:
                self._timed.add(job)
            self._scheduler.admit(job.ticket)
            self._result_bytes += job.bytes
            self._waiting_rows += job.n
            self._tell()
            self._changed.notify()
        job.future.add_done_callback(lambda future: self._note_cancelled(job) if future.cancelled() else None)

    def next(self, patient: bool = True) -> Work | None:
        """The next batch; ``patient``: as soon as there is one. None when closed and empty."""
        with self._changed:
            while True:
                over, chores = self._over(), self._take_chores()
                shares = [] if over else self._scheduler.next_batch()
                if chores or over or shares or (not patient and not self._closed):
                    return Work(chores, over, [(self._jobs[share.ticket], share.rows) for share in shares])
                if self._closed and not self._jobs:
                    return None
                soonest = min((job.deadline for job in self._timed), default=inf)
                self._changed.wait(None if soonest == inf else max(0.0, soonest - self._clock()))

    def worked(self, job: Job, rows: int, seconds: float) -> None:
        """``rows`` of ``job`` were made, ``seconds`` of the device were spent on it."""
        with self._changed:
            self._scheduler.charge(job.ticket, seconds)
            job.spent += seconds
            if rows:
                self._speed[job.ticket].measured(job.done, job.spent)
            job.ticket.rows -= rows
            if job.ticket.room is not None:
                job.ticket.room = max(0, job.ticket.room - rows)
            self._waiting_rows -= rows
            self._tell()

    def grant(self, job: Job, rows: int) -> None:
        """The reader of ``job`` took ``rows``: there is room for as many more."""
        with self._changed:
            if job.ticket.room is not None:
                job.ticket.room += rows
            self._changed.notify()

    def leave(self, job: Job) -> None:
        """``job`` is finished, failed or cancelled; what it still missed no longer waits."""
        with self._changed:
            if self._jobs.pop(job.ticket, None) is None:
                return
            del self._speed[job.ticket]
            self._timed.discard(job)
            self._scheduler.leave(job.ticket)
            self._waiting_rows -= job.ticket.rows
            self._result_bytes -= job.bytes
            self._tell()

    def chore(self, work: Callable[[], Result]) -> Future[Result]:
        """Have ``work`` done on the device thread, between two batches. Raises Draining."""
        future: Future[Result] = Future()

        def do() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - it is the caller's
                future.set_exception(error)

        with self._changed:
            if self._closed:
                raise Draining("The server is shutting down and takes no new work.")
            self._chores[future] = do
            self._changed.notify()
        return future

    def close(self) -> None:
        """No new work; ``next`` ends when the admitted work has."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cut_off(self) -> None:
        """No new work, and what was admitted is over."""
        with self._changed:
            self._closed = self._cut_off = True
            self._changed.notify_all()

    def abandon(self, error: Exception) -> None:
        """The device loop is gone: nobody shall wait for it."""
        with self._changed:
            self._closed = True
            jobs, chores = list(self._jobs.values()), list(self._chores)
            for job in jobs:
                self.leave(job)
        for chore in chores:
            chore.set_exception(error)
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)

    def seconds(self) -> float:
        """Device seconds that all admitted requests still need, as far as is known."""
        with self._changed:
            return sum(map(self.seconds_of, self._jobs.values()))

    def seconds_of(self, job: Job) -> float:
        """Device seconds that ``job`` still needs, as far as is known."""
        return job.ticket.rows * self._speed[job.ticket].seconds

    def _refuse_or_not(self, job: Job) -> None:
        own = self.seconds_of(job)
        # Who waits for a reader that takes nothing waits for nobody, and nobody for him.
        others = [self.seconds_of(other) if other.ticket.wanted else 0.0 for other in self._jobs.values()]
        wait = fair_wait(own, others)
        said = f"{len(others)} requests, {self._waiting_rows} samples are waiting already"
        if len(others) >= self._options.queue_requests:
            seconds = retry_after(min(others) * len(others))
            raise Overloaded(f"{said}; try again in {seconds} s.", seconds)
        if wait > (most := self._options.queue_seconds + self._options.queue_stretch * own):
            seconds = retry_after(wait - most)
            raise Overloaded(f"{said}, and this one would wait {wait:.0f} s; try again in {seconds} s.", seconds)
        if job.bytes and self._result_bytes + job.bytes > self._options.result_bytes and self._result_bytes:
            seconds = retry_after(min(others, default=0.0))
            raise Overloaded(
                f"{said}, and no memory is left for an answer that must be held whole; try again in {seconds} s, "
                "or ask for a format that streams.",
                seconds,
            )
        if (late := self._clock() + wait + own - job.deadline) > 0:
            raise DeadlineTooShort(
                f"{said}, and this one would be done {late:.1f} s after its deadline; allow more time, or try later.",
                retry_after(wait),
            )

    def _note_cancelled(self, job: Job) -> None:
        with self._changed:
            self._cancelled.append(job)
            self._changed.notify()

    def _take_chores(self) -> list[Callable[[], None]]:
        chores = list(self._chores.values())
        self._chores.clear()
        return chores

    def _over(self) -> list[Job]:
        """Jobs that nobody waits for any more, or that must not go on."""
        cancelled, self._cancelled = self._cancelled, []
        if self._cut_off:
            return list(self._jobs.values())
        now = self._clock()
        gone = [job for job in cancelled if job.ticket in self._jobs]
        return gone + [job for job in self._timed if job.deadline <= now and job not in gone]

    def _tell(self) -> None:
        self._metrics.queue_rows.set(self._waiting_rows)
        self._metrics.queue_requests.set(len(self._jobs))
