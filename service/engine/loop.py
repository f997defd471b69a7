"""The device loop: the one thread that touches torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

from service.engine.accounts import Accounts
from service.engine.errors import Draining, GenerationFailed, Stalled
from service.engine.jobs import Job, SampleJob
from service.engine.queue import JobQueue
from service.engine.supply import SupplyError, SupplyStalled
from service.engine.turns import Turn, party, take_turn

logger = logging.getLogger("winnow.engine")


class DeviceLoop:
    """Turn after turn until the queue is closed and empty; no request can end it."""

    def __init__(self, queue: JobQueue, turn: Turn, accounts: Accounts, fingerprints: dict[str, str]) -> None:
        self._queue, self._turn, self._accounts, self._fingerprints = queue, turn, accounts, fingerprints
        self.turn_started: float | None = None

    def run(self) -> None:
        while (jobs := self._queue.next_turn()) is not None:
            if self._queue.cut_off:
                self._fail(jobs, Draining("The server is shutting down and its grace period is over."))
                continue
            alive = [job for job in jobs if not self._drop_cancelled(job)]
            if alive:
                self.turn_started = perf_counter()
                self._take(party(alive))
                self.turn_started = None

    def _take(self, jobs: list[Job]) -> None:
        started = perf_counter()
        for job in jobs:
            self._note_start(job, started)
        done = [job.done for job in jobs]
        try:
            take_turn(self._turn, jobs)
        except SupplyError as error:  # concerns those who take from that supply, not the rest of the party
            concerned = [job for job in jobs if isinstance(job, SampleJob) and job.key == error.key]
            self._fail(concerned, Stalled(str(error)) if isinstance(error, SupplyStalled) else _failed(jobs, error))
        except Exception as error:  # noqa: BLE001 - whatever a network raises fails its batch, never the server
            self._fail(jobs, _failed(jobs, error))
        made = [job.done - before for job, before in zip(jobs, done, strict=True)]
        self._queue.progressed(sum(made), perf_counter() - started)
        for job, rows in zip(jobs, made, strict=True):
            if job.future.done():
                continue
            # A job that got nothing while others did keeps its place in front of them.
            if not job.missing:
                self._finish(job)
            elif rows or not any(made):
                self._queue.requeue(job)

    def _finish(self, job: Job) -> None:
        self._queue.leave(job)
        if not job.future.set_running_or_notify_cancel():
            self._accounts.wasted(job, "cancelled")
            return
        try:
            result = job.result(self._fingerprints[job.model])
        except Exception as error:  # noqa: BLE001 - a result that cannot be put together is its own job's loss only
            self._accounts.wasted(job, "failed")
            job.future.set_exception(_failed([job], error))
            return
        # Books first: whoever sees the result may look at the metrics.
        self._accounts.delivered(job)
        job.future.set_result(result)

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        for job in jobs:
            self._queue.leave(job)
            cancelled = not job.future.set_running_or_notify_cancel()
            self._accounts.wasted(job, "cancelled" if cancelled else "failed")
            if not cancelled:
                job.future.set_exception(error)

    def _drop_cancelled(self, job: Job) -> bool:
        if not job.future.cancelled():
            return False
        self._queue.leave(job)
        self._accounts.wasted(job, "cancelled")
        return True

    def _note_start(self, job: Job, now: float) -> None:
        if not job.started:
            job.started = True
            job.charge("queue", now - job.admitted)
            self._accounts.stage("queue", now - job.admitted)


def _failed(jobs: list[Job], error: Exception) -> GenerationFailed:
    """What the callers are told; the log has the rest."""
    model = jobs[0].model
    logger.error("a batch failed", extra={"model": model, "requests": len(jobs)}, exc_info=error)
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return GenerationFailed(f"Model {model} failed on this batch: {reason}")
