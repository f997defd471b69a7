"""The waiting room: what it remembers of those who wait is what a look at each of them would say."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.engine.errors import DeadlineExceeded, DeadlineTooShort, DeviceStopped, Draining, Overloaded
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

    @rule()
    def shut_down(self) -> None:
        """Whatever is there is finished, by both devices, whoever reads slowly; then there is nothing more."""
        self.queue.close()
        with pytest.raises(Draining):
            self.come(1, 0, None, ordered=False)
        while self.jobs:
            while self.flying:
                self.bring(1.0, 1.0, 0)
            for job in [job for job in self.jobs if not job.missing]:
                self.jobs.remove(job)
                assert self.queue.leave(job)
            for which in range(len(self.jobs)):
                self.read(which, 1)
            for device in (0, 1):
                if any(job.ticket.wanted(device) for job in self.jobs):  # else it would wait for the other one
                    self.take(device)
            assert self.flying or not self.jobs, "nobody gets on"
        assert self.queue.next(0) is None and self.queue.next(1) is None
        self.queue = JobQueue(EngineOptions(queue_seconds=inf), Metrics(), lambda: 0.0, devices=2)

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
    error = DeviceStopped("The device loop has stopped.")
    chore = queue.chore(lambda: done.append(1))
    job = ToyJob(n=3, served=served, kind=0, lane=LANE, admitted=0.0)
    queue.submit(job)
    assert queue.abandon(error) == [job]
    assert chore.exception(timeout=0) is job.future.exception(timeout=0) is error
    assert queue.next() is None
    assert queue.abandon(error) == done == [], "the other loop may stop, too"
    raised: list[Exception] = [error]
    for newcomer in (lambda: queue.submit(job), lambda: queue.chore(lambda: None)):
        with pytest.raises(DeviceStopped, match="has stopped") as refusal:
            newcomer()
        raised.append(refusal.value)
    assert len({id(each) for each in raised}) == 3, "one exception for all would hold on to every caller"


class Room:
    """A queue on a clock of its own, and what it makes of requests."""

    def __init__(self, devices: int = 1, **options: Any) -> None:
        self.now = 0.0
        self.queue = JobQueue(EngineOptions(**options), Metrics(), lambda: self.now, devices=devices)

    def ask(self, n: int, timeout: float = inf, kind: int = 0, room: int | None = None, **more: Any) -> ToyJob:
        outbox = None if room is None else Outbox(room)
        deadline = self.now + timeout
        job = ToyJob(
            n=n, served=served, kind=kind, lane=LANE, admitted=self.now, deadline=deadline, outbox=outbox,
            **{"ordered": False, **more},
        )  # fmt: skip
        self.queue.submit(job)
        return job

    def do(self, job: Job, seconds: float) -> None:
        """All of ``job``, alone, in so many device seconds."""
        while job.missing:
            work = self.queue.next(patient=False)
            assert work is not None
            ((_, rows),) = work.shares
            job.done += rows
            self.now += seconds * rows / job.n
            self.queue.worked(job, rows, rows, seconds * rows / job.n)
        self.queue.leave(job)


def test_what_one_sample_costs_alone_is_no_measure_of_a_thousand() -> None:
    """A batch that is not full costs nearly as much as one that is: here four times as much a row."""
    room = Room()
    for _ in range(20):
        room.do(room.ask(1), 0.1)
    room.do(room.ask(100), 2.5)
    room.ask(1_000, timeout=30)
    with pytest.raises(DeadlineExceeded, match=r"takes about 25 s of the device and allows 24 s"):
        room.ask(1_000, timeout=24)


def test_nobody_is_refused_for_what_was_never_measured_or_long_ago() -> None:
    room = Room()
    room.queue.leave(room.ask(100, timeout=0.5))  # a row a second is the guess
    room.do(room.ask(100), 100.0)
    with pytest.raises(DeadlineExceeded):
        room.ask(100, timeout=99)
    room.now += 61
    room.do(room.ask(100, timeout=99), 1.0)


def test_devices_share_the_work_of_a_request_unless_it_has_an_order() -> None:
    room = Room(devices=2)
    room.do(room.ask(40), 40.0)
    room.queue.leave(room.ask(40, timeout=21))
    with pytest.raises(DeadlineExceeded):
        room.ask(40, timeout=39, ordered=True)


def test_who_waits_for_others_too_long_hears_when_they_are_done() -> None:
    room = Room()
    room.do(room.ask(8), 8.0)
    room.ask(8)
    with pytest.raises(DeadlineTooShort, match=r"4\.0 s after its deadline") as refusal:
        room.ask(8, timeout=12)
    assert refusal.value.retry_after == 8


def test_a_stream_that_nobody_reads_does_not_say_that_room_is_near() -> None:
    room = Room(queue_requests=2)
    room.ask(50, room=0)
    room.ask(30)
    with pytest.raises(Overloaded) as refusal:
        room.ask(1)
    assert refusal.value.retry_after == 60, "two requests, of which one needs 30 s and the other one waits"


def test_memory_is_free_when_whoever_holds_it_is_done() -> None:
    room = Room(result_bytes=100)
    room.ask(40, bytes=100)
    room.ask(1)
    with pytest.raises(Overloaded, match="no memory is left") as refusal:
        room.ask(1, bytes=50)
    assert refusal.value.retry_after == 41


def test_a_cut_off_lets_go_of_who_waits_for_a_device_that_hangs() -> None:
    room = Room()
    waiting = room.queue.chore(lambda: 1)
    work = room.queue.next(patient=False)
    assert work is not None
    hung = room.queue.chore(lambda: 2)
    room.queue.cut_off()
    for future in (waiting, hung):
        with pytest.raises(Draining):
            future.result(timeout=0)
    for chore in work.chores:
        chore()  # the device is back after all
    late = room.queue.next()
    assert late is not None and len(late.chores) == 1
