"""The waiting room: admission at the door, the scheduler inside, one lock around both."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, TypeVar

from service.engine.admission import Line, Speeds, retry_after
from service.engine.errors import DeadlineExceeded, DeadlineTooShort, DeviceStopped, Draining, Overloaded
from service.engine.jobs import Job
from service.engine.memory import Lease, ResultMemory
from service.engine.options import EngineOptions
from service.engine.scheduler import Scheduler, Ticket
from service.engine.served import Served
from service.metrics.registry import Metrics

Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """What a device does next: ``chores``, let ``over`` go (cancelled, past their deadline, cut off), or make
    ``shares``: rows for jobs of one lane. All empty: nothing is runnable, it may look after its pools."""

    chores: Sequence[Callable[[], None]]
    over: Sequence[Job]
    shares: Sequence[tuple[Job, int]]


class JobQueue:
    """``submit`` is one synchronous decision, ``next`` sleeps until there is work. Any thread may call either.

    One queue for all ``devices``: a batch is formed when a device is free for it, whoever it is for.
    """

    def __init__(self, options: EngineOptions, metrics: Metrics, clock: Callable[[], float], devices: int = 1) -> None:
        self._options, self._clock, self._devices = options, clock, devices
        self._scheduler = Scheduler()
        self._jobs: dict[Ticket, Job] = {}
        self._timed: set[Job] = set()  # those with a deadline
        self._needed: Counter[Served] = Counter()
        self._cancelled: list[Job] = []
        self._chores: dict[Future[Any], Callable[[], None]] = {}
        self._asked: set[Future[Any]] = set()  # chores that are not done
        self._changed = threading.Condition()
        self._closed = self._cut_off = False
        self._stopped: DeviceStopped | Draining | None = None  # what a device loop stopped with
        self._waiting_rows = 0
        self.memory = ResultMemory(options.result_bytes)
        self._speeds = Speeds()
        # Until a request comes, goes, gets on or gets unstuck: under load hundreds are refused a second.
        self._line: Line | None = None
        metrics.queue_rows.set_function(lambda: self._waiting_rows)
        metrics.queue_requests.set_function(lambda: len(self._jobs))

    def submit(self, job: Job) -> None:
        """Admit ``job``. Raises Draining, what a device loop stopped with, DeadlineExceeded where it would be late even
        alone, DeadlineTooShort and Overloaded (with the seconds after which to ask again)."""
        with self._changed:
            self._refuse_closed()
            # A row of a small request costs its part of a batch that is not full: no measure of large ones.
            job.speed = self._speeds.of((job.kind, job.n >= job.lane.capacity), job.row_seconds)
            self._refuse_or_not(job)
            self._jobs[job.ticket] = job
            if job.deadline < inf:
                self._timed.add(job)
            self._scheduler.admit(job.ticket)
            self._needed[job.served] += 1
            job.lease = job.lease or Lease(self.memory)
            job.lease.take(job.bytes)
            self._waiting_rows += job.n
            self._line = None
            self._changed.notify_all()
        job.future.add_done_callback(partial(self._note_cancelled, weakref.ref(job)))  # which the job itself holds

    def lease(self, size: int) -> Lease:
        """``size`` bytes of the memory of answers. Raises Overloaded."""
        with self._changed:
            if not self.memory.fits(size):
                raise Overloaded(f"{size} bytes do not fit beside the answers that are held; try again in 1 s.", 1)
            lease = Lease(self.memory)
            lease.take(size)
        return lease

    def next(self, device: int = 0, patient: bool = True) -> Work | None:
        """The next batch of ``device``; ``patient``: as soon as there is one. None when closed and empty.

        Chores are the first device's.
        """
        with self._changed:
            while True:
                over, chores = self._over(), [] if device else self._take_chores()
                shares = [] if over else self._scheduler.next_batch(device)
                if chores or over or shares or (not patient and not self._closed):
                    return Work(chores, over, [(self._jobs[share.ticket], share.rows) for share in shares])
                if self._closed and not self._jobs:
                    return None
                soonest = min((job.deadline for job in self._timed if not job.ticket.held), default=inf)
                self._changed.wait(None if soonest == inf else max(0.0, soonest - self._clock()))

    def worked(self, job: Job, taken: int, made: int, seconds: float) -> None:
        """Of the ``taken`` rows of ``job`` that it got a share for ``made`` were, in ``seconds`` of the device."""
        with self._changed:
            if job.ticket not in self._jobs:  # it was over before this batch was
                return
            self._scheduler.charge(job.ticket, seconds)
            job.spent += seconds
            if made:
                job.speed.measured(job.done, job.spent, self._clock())
            job.ticket.settle(taken, made)
            self._waiting_rows -= made
            self._line = None
            if self._devices > 1 and job.ticket.rows:
                self._changed.notify_all()  # what was not made another device may make

    def grant(self, job: Job, rows: int) -> None:
        """The reader of ``job`` took ``rows``: there is room for as many more."""
        with self._changed:
            if job.ticket.room is not None:
                job.ticket.room += rows
                self._line = None
            self._changed.notify_all()

    def leave(self, job: Job) -> bool:
        """``job`` is finished, failed or cancelled; what it still missed no longer waits. False: it had left.

        Whoever is told True settles the future and ends the job.
        """
        with self._changed:
            if self._jobs.pop(job.ticket, None) is None:
                return False
            self._timed.discard(job)
            self._needed[job.served] -= 1
            self._scheduler.leave(job.ticket)
            self._waiting_rows -= job.ticket.rows + job.ticket.taken
            self._line = None
            if self._closed:
                self._changed.notify_all()  # the other devices wait for the last one
        job.close()
        return True

    def chore(self, work: Callable[[], Result]) -> Future[Result]:
        """Have ``work`` done on the device thread, between two batches. Raises like ``submit``."""
        future: Future[Result] = Future()

        def do() -> None:
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - it is the caller's
                _settle(future, error=error)
            else:
                _settle(future, result)
            with self._changed:
                self._asked.discard(future)

        with self._changed:
            self._refuse_closed()
            self._chores[future] = do
            self._asked.add(future)
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """No new work; ``next`` ends when the admitted work has, which goes shortest first from now on."""
        with self._changed:
            self._closed = True
            self._scheduler.finish(lambda ticket: self.seconds_of(self._jobs[ticket]))
            self._changed.notify_all()

    def cut_off(self) -> None:
        """No new work, and what was admitted is over; no one waits for a chore any more, even if the device hangs."""
        with self._changed:
            self._closed = self._cut_off = True
            asked = list(self._asked)
            self._changed.notify_all()
        for future in asked:
            _settle(future, error=Draining("The server is shutting down and its grace period is over."))

    def abandon(self, error: DeviceStopped | Draining) -> list[Job]:
        """The device loop is gone: nobody shall wait for it, and no other device do what was queued. The jobs that are
        over with it, for whoever keeps the books to end."""
        with self._changed:
            self._closed, self._stopped = True, error
            jobs, chores = list(self._jobs.values()), list(self._asked)
            self._chores.clear()
            self._asked.clear()
            for job in jobs:
                self.leave(job)
        for chore in chores:
            _settle(chore, error=error)
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
        return jobs

    def needed(self) -> set[Served]:
        """What admitted requests need, whether or not it is on the shelf still."""
        with self._changed:
            self._needed = +self._needed  # without those at 0
            return set(self._needed)

    def seconds(self) -> float:
        """Device seconds that all admitted requests still need, as far as is known, all devices together."""
        with self._changed:
            return sum(map(self.seconds_of, self._jobs.values()))

    def seconds_of(self, job: Job) -> float:
        """Device seconds that ``job`` still needs, as far as is known."""
        return (job.ticket.rows + job.ticket.taken) * job.speed.seconds

    def _line_now(self) -> Line:
        """Who waits for a reader that takes nothing waits for nobody, and nobody for him."""
        if self._line is None:
            self._line = Line(0.0 if job.ticket.stuck else self.seconds_of(job) for job in self._jobs.values())
        return self._line

    def _refuse_closed(self) -> None:
        if self._stopped is not None:
            raise type(self._stopped)(*self._stopped.args)  # anew: one exception would hold on to all its callers
        if self._closed:
            raise Draining("The server is shutting down and takes no new work.")

    def _refuse_or_not(self, job: Job) -> None:
        own, others, line = self.seconds_of(job), len(self._jobs), self._line_now()
        wait = line.wait(own) / self._devices
        said = f"{others} requests, {self._waiting_rows} samples are waiting already"
        if others >= self._options.queue_requests:
            seconds = retry_after(line.shortest * others / self._devices)
            raise Overloaded(f"{said}; try again in {seconds} s.", seconds)
        if wait > (most := self._options.queue_seconds + self._options.queue_stretch * own):
            seconds = retry_after(wait - most)
            raise Overloaded(f"{said}, and this one would wait {wait:.0f} s; try again in {seconds} s.", seconds)
        if not self.memory.fits(job.bytes):
            holders = (line.wait(self.seconds_of(other)) for other in self._jobs.values() if other.bytes)
            seconds = retry_after(min(holders, default=0.0) / self._devices)
            raise Overloaded(
                f"{said}, and no memory is left for an answer that must be held whole; try again in {seconds} s, "
                "or ask for a format that streams.",
                seconds,
            )
        now = self._clock()
        allowed = max(0.0, job.deadline - now)
        alone = own / (1 if job.ordered else self._devices) if job.speed.fresh(now) else 0.0
        if alone > allowed:
            what = f"This request takes about {alone:.3g} s of the device and allows {allowed:.3g} s"
            raise DeadlineExceeded(f"{what}; allow more time, or ask for less.")
        if (late := wait + alone - allowed) > 0:
            raise DeadlineTooShort(
                f"{said}, and this one would be done {late:.1f} s after its deadline; allow more time, or try later.",
                retry_after(wait),
            )

    def _note_cancelled(self, held: weakref.ref[Job], future: Future[Any]) -> None:
        if not future.cancelled() or (job := held()) is None:
            return
        with self._changed:
            self._cancelled.append(job)
            self._changed.notify_all()

    def _take_chores(self) -> list[Callable[[], None]]:
        chores = list(self._chores.values())
        self._chores.clear()
        return chores

    def _over(self) -> list[Job]:
        """Jobs that nobody waits for any more, or that must not go on; one that is ``held`` once its device is back,
        or what that makes would come after the books of the job were closed."""
        now = self._clock()
        gone = [job for job in self._cancelled if job.ticket in self._jobs]
        self._cancelled = [job for job in gone if job.ticket.held]
        if self._cut_off:
            gone = list(self._jobs.values())
        else:
            gone += [job for job in self._timed if job.deadline <= now and job not in gone]
        return [job for job in gone if not job.ticket.held]


def _settle(future: Future[Any], result: Any = None, error: Exception | None = None) -> None:
    """Unless somebody else has."""
    with contextlib.suppress(InvalidStateError):
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
