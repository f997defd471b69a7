"""The waiting room: what it remembers of those who wait is what a look at each of them would say."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.engine.errors import GenerationFailed
from service.engine.jobs import Job
from service.engine.options import EngineOptions
from service.engine.outbox import Outbox
from service.engine.queue import JobQueue
from service.engine.scheduler import Lane
from service.metrics.registry import Metrics

LANE = Lane("points", 4)
served: Any = None


class ToyJob(Job):
    """Costs a second a row, until somebody measures."""

    @property
    def row_seconds(self) -> float:
        return 1.0

    def result(self) -> None:
        return None

    def _empty(self) -> None:
        return None


class QueueMachine(RuleBasedStateMachine):
    """Requests come and go, readers are slow, two devices take batches; two kinds of work have speeds of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = JobQueue(EngineOptions(queue_seconds=inf), Metrics(), lambda: 0.0, devices=2)
        self.jobs: list[Job] = []
        self.flying: list[tuple[Job, int]] = []

    @rule(n=st.integers(1, 9), kind=st.integers(0, 1), room=st.none() | st.integers(1, 4), ordered=st.booleans())
    def come(self, n: int, kind: int, room: int | None, ordered: bool) -> None:
        outbox = None if room is None else Outbox(room)
        job = ToyJob(n=n, served=served, kind=kind, lane=LANE, admitted=0.0, outbox=outbox, ordered=ordered)
        self.queue.submit(job)
        self.jobs.append(job)

    @rule(device=st.integers(0, 1))
    def take(self, device: int) -> None:
        work = self.queue.next(device, patient=False)
        assert work is not None
        self.flying += work.shares

    @precondition(lambda self: self.flying)
    @rule(part=st.floats(0, 1), seconds=st.floats(0, 9), extra=st.integers(0, 2))
    def bring(self, part: float, seconds: float, extra: int) -> None:
        job, rows = self.flying.pop(0)
        made = min(round(rows * part) + extra, job.missing)
        job.done += made
        self.queue.worked(job, rows, made, seconds)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), rows=st.integers(1, 4))
    def read(self, which: int, rows: int) -> None:
        self.queue.grant(self.jobs[which % len(self.jobs)], rows)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99))
    def go(self, which: int) -> None:
        self.queue.leave(self.jobs.pop(which % len(self.jobs)))

    @invariant()
    def a_newcomer_waits_for_each_of_the_others(self) -> None:
        others = [0.0 if job.ticket.stuck else self.queue.seconds_of(job) for job in self.jobs]
        for work in (0.5, 3.0, 100.0):
            expected = pytest.approx(sum(min(other, work) for other in others))
            assert self.queue._line_now().wait(work) == expected


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase


def test_nobody_does_what_was_queued_for_a_loop_that_is_gone() -> None:
    queue, done = JobQueue(EngineOptions(), Metrics(), lambda: 0.0, devices=2), list[int]()
    error = GenerationFailed("The device loop has stopped.")
    chore = queue.chore(lambda: done.append(1))
    job = ToyJob(n=3, served=served, kind=0, lane=LANE, admitted=0.0)
    queue.submit(job)
    assert queue.abandon(error) == [job]
    assert chore.exception(timeout=0) is job.future.exception(timeout=0) is error
    assert queue.next() is None
    assert queue.abandon(error) == done == [], "the other loop may stop, too"
