"""The device loop: of each device the one thread that runs networks on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Sequence
from time import perf_counter

from service.engine.accounts import Accounts
from service.engine.cuda import lost
from service.engine.decoding import is_out_of_memory
from service.engine.errors import (
    DeadlineExceeded,
    DeviceStopped,
    Draining,
    EngineError,
    GenerationFailed,
    Stalled,
    first_line,
)
from service.engine.evaluations import LatentJob
from service.engine.jobs import Job, SampleJob
from service.engine.outcomes import Turn, no_room
from service.engine.queue import JobQueue
from service.engine.supply import SupplyFailed, SupplyStalled
from service.engine.turns import Shares, fill, take_turn

logger = logging.getLogger("winnow.engine")


class DeviceLost(RuntimeError):
    """The device loop must end."""


class DeviceLoop:
    """Turn after turn until the queue is closed and empty; no request can end it, only a device that is lost."""

    def __init__(self, queue: JobQueue, turn: Turn, accounts: Accounts, digests: Callable[[], Container[str]]) -> None:
        """``digests``: of the bundles that are in use now. ``turn`` says on which device."""
        self._queue, self._turn, self._accounts, self._digests = queue, turn, accounts, digests
        self.turn_started: float | None = None

    def run(self) -> None:
        while self._next_turn():
            pass

    def abandon(self, error: DeviceStopped | Draining) -> None:
        """It has stopped. Books last: what is wrong may be wrong with them."""
        for job in self._queue.abandon(error):
            self._accounts.wasted(job, "cancelled" if job.future.cancelled() else "failed")
            job.end()

    def _next_turn(self) -> bool:
        """Wait for work and do it; False: there will be none. Nothing of it is held while the next is waited for."""
        supplies = self._turn.supplies
        work = self._queue.next(self._turn.device, patient=supplies.hungry() is None)
        if work is None:
            return False
        self.turn_started = perf_counter()
        for chore in work.chores:
            chore()
        for job in work.over:
            self._let_go(job)
        if work.shares:
            self._take(work.shares)
            self._turn.decoder.sizes.regain()
        elif not work.over and not work.chores and (hungry := supplies.hungry()) is not None:
            fill(self._turn, hungry)
        supplies.trim(self._digests())
        self._turn.returns.trim(self._digests())
        self.turn_started = None
        return True

    def _take(self, shares: Shares) -> None:
        started = perf_counter()
        jobs = [job for job, _ in shares]
        for job in jobs:
            self._note_start(job, started)
        try:
            outcome = take_turn(self._turn, shares)
        except Exception as error:  # noqa: BLE001 - whatever a network raises fails its batch, never the server
            self._fail(jobs, self._told(jobs, error))
            self._go_on_or_not(jobs)
            return
        for job, taken in shares:
            self._queue.worked(job, taken, outcome.made.get(job, 0), outcome.spent.get(job, 0.0))
        for job, reason in outcome.failed.items():
            self._fail([job], self._told([job], reason))
        for job in jobs:
            if not job.missing and job not in outcome.failed:
                self._finish(job)
        if outcome.failed:
            self._go_on_or_not(jobs)

    def _go_on_or_not(self, jobs: Sequence[Job]) -> None:
        """Something failed. Raises DeviceLost where everything else would, too: only another process helps."""
        device = jobs[0].served.bundles[self._turn.device].device
        if lost(device):
            raise DeviceLost(f"{device} runs nothing any more in this process")

    def _told(self, jobs: Sequence[Job], error: Exception) -> EngineError:
        """Like ``told``; a device without memory gets smaller batches, or blocks where one of those found none.

        What is raised while it gets them is told instead: it must not end the loop.
        """
        if is_out_of_memory(error):
            try:
                decoder, job = self._turn.decoder, jobs[0]
                if (rows := block_of(job, error)) is not None:
                    return decoder.no_block(job.served, rows, isinstance(job, SampleJob) and job.seed is not None)
                return decoder.out_of_memory(job.served)
            except Exception as another:  # noqa: BLE001 - a bundle is warmed up anew, which runs its networks
                error = another
        return told(jobs, error)

    def _finish(self, job: Job) -> None:
        if not self._queue.leave(job):
            return  # another device brought the last rows
        if not job.future.set_running_or_notify_cancel():
            self._take_back(job)
            return
        try:
            result = job.result()
        except Exception as error:  # noqa: BLE001 - a result that cannot be put together is its own job's loss only
            self._accounts.wasted(job, "failed")
            job.end()
            job.future.set_exception(no_room(job) if is_out_of_memory(error) else told([job], error))
            return
        # Books first: whoever sees the result may look at the metrics.
        self._accounts.delivered(job)
        job.end(delivered=True)
        job.future.set_result(result)

    def _let_go(self, job: Job) -> None:
        if job.future.cancelled():
            if self._queue.leave(job):
                self._take_back(job)
        elif job.deadline <= perf_counter():
            self._fail([job], DeadlineExceeded(f"The deadline passed with {job.done} of {job.n} samples made."))
        else:
            self._fail([job], Draining("The server is shutting down and its grace period is over."))

    def _take_back(self, job: Job) -> None:
        """The client has left: what was made for it is for the next one, or for nobody."""
        if isinstance(job, SampleJob) and (made := job.returnable()) and self._turn.returns.put(job.key, made):
            self._accounts.returned(job)
        else:
            self._accounts.wasted(job, "cancelled")
        job.end()

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        for job in jobs:
            if not self._queue.leave(job):
                continue
            cancelled = not job.future.set_running_or_notify_cancel()
            self._accounts.wasted(job, "cancelled" if cancelled else "failed")
            job.end()
            if not cancelled:
                job.future.set_exception(error)

    def _note_start(self, job: Job, now: float) -> None:
        if not job.started:
            job.started = True
            job.charge("queue", now - job.admitted)
            self._accounts.stage("queue", now - job.admitted)


def block_of(job: Job, error: Exception) -> int | None:
    """Rows of the block on which ``error`` was raised; None: one of the generator's batches, or as large."""
    if isinstance(job, LatentJob):
        return None if job.work.decodes else job.work.rows(job.served)
    if isinstance(job, SampleJob) and isinstance(error, SupplyFailed) and not job.choice.sampler.decodes:
        return job.choice.sampler.block
    return None


def told(jobs: Sequence[Job], error: Exception) -> EngineError:
    """What the callers are told; the log has the rest."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, SupplyStalled):
        return Stalled(str(error))
    model = jobs[0].model
    logger.error("a batch failed", extra={"model": model, "requests": len(jobs)}, exc_info=error)
    return GenerationFailed(f"Model {model} failed on this batch: {first_line(error)}")
