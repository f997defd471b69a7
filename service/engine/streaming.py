"""An answer that is read while it is made."""

from __future__ import annotations

from collections.abc import Callable

from service.engine.accounts import Accounts
from service.engine.jobs import SampleJob
from service.engine.outbox import rows_in
from service.engine.portions import Facts, Portion, Summary
from service.engine.queue import JobQueue


class RowStream:
    """Portions of one request, in order, each handed out once. One reader, from any thread.

    Nothing is made beyond what the outbox holds: a reader that takes nothing stops its own work, and only that.
    """

    def __init__(self, job: SampleJob, facts: Facts, queue: JobQueue, accounts: Accounts) -> None:
        assert job.outbox is not None
        self.facts = facts
        self._job, self._outbox, self._queue, self._accounts = job, job.outbox, queue, accounts

    def listen(self, listener: Callable[[], None]) -> None:
        """``listener`` is called, from whatever thread, when there may be something to take or the end has come."""
        outbox = self._outbox  # not self, which holds the future
        outbox.listen(listener)
        self._job.future.add_done_callback(lambda _: outbox.tell())

    def take(self) -> list[Portion]:
        """What is ready now; taking it makes room for more."""
        portions = self._outbox.take()
        if rows := rows_in(portions):
            self._accounts.read(self._job, rows)
            self._queue.grant(self._job, rows)
        return portions

    @property
    def ready(self) -> bool:
        """There is something to take."""
        return self._outbox.ready

    @property
    def pressing(self) -> bool:
        """So much lies ready that the work will soon have to wait for the reader."""
        return self._outbox.pressing

    @property
    def made(self) -> bool:
        """Nothing more will come: all is made, or it failed."""
        return self._job.future.done()

    def summary(self) -> Summary:
        """Once ``made``. Raises what the work failed with: Stalled, GenerationFailed, ..."""
        summary = self._job.future.result(timeout=0)
        assert isinstance(summary, Summary)
        return summary

    def close(self) -> None:
        """The reader wants no more; the work stops at the next batch."""
        self._job.future.cancel()
        if rows := rows_in(self._outbox.close()):
            self._accounts.unread(self._job, rows)
