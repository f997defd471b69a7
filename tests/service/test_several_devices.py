"""Several devices: one queue, one loop each; here two loops on the CPU, each with networks of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from books import books_balance
from draws import ask, decoded, draw, wasted
from gates import Gate
from tiny_bundles import BATCH, POINT_GENERATOR, POINTS, never, write_bundle

from service.engine import warmup
from service.engine.engine import Engine
from service.engine.errors import GenerationFailed
from service.engine.evaluations import DECODE
from service.engine.rows import SampleRequest

Start = Callable[..., Engine]
TWO = ("cpu", "cpu")
PATIENCE = 30.0


class Meeting:
    """The first batch of each device's ``points`` generator waits for the other's."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows, barrier = [0, 0], threading.Barrier(2)
        for device, bundle in enumerate(engine.served("points").bundles):
            forward = bundle.generator.forward

            def meeting(z: torch.Tensor, forward=forward, device=device) -> torch.Tensor:  # type: ignore[no-untyped-def]
                if not self.rows[device]:
                    barrier.wait(PATIENCE)
                self.rows[device] += len(z)
                samples: torch.Tensor = forward(z)
                return samples

            monkeypatch.setattr(bundle.generator, "forward", meeting)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("method", ["prior", "picky"])
def test_a_large_request_is_made_on_both_at_once(start: Start, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    engine = start(devices=TWO)
    meeting = Meeting(engine, monkeypatch)
    samples = draw(engine, 40 * BATCH, method)
    assert samples.n == 40 * BATCH <= sum(meeting.rows)
    assert min(meeting.rows) > 0
    assert len(np.unique(samples.latents, axis=0)) == samples.n
    assert samples.rows is not None
    expected = engine.model("points").generator(torch.from_numpy(samples.latents)).detach().numpy()
    np.testing.assert_allclose(samples.rows, expected, atol=1e-5)
    assert books_balance(engine)


def test_a_stream_is_made_on_both_and_loses_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(devices=TWO, outbox_bytes=1)
    meeting, news = Meeting(engine, monkeypatch), threading.Event()
    stream = engine.stream(SampleRequest(60 * BATCH, "points", "prior"))
    stream.listen(news.set)
    latents: list[np.ndarray] = []
    while sum(map(len, latents)) < 60 * BATCH:
        assert news.wait(PATIENCE)
        news.clear()
        latents += [portion.latents for portion in stream.take()]
    assert len(np.unique(np.concatenate(latents), axis=0)) == 60 * BATCH
    assert min(meeting.rows) > 0
    stream.close()
    draw(engine, 1, "prior")
    assert books_balance(engine)


@pytest.mark.parametrize("method", ["prior", "latentrs"])
def test_seeded_samples_are_those_of_one_device(start: Start, method: str) -> None:
    alone, both = start(), start(devices=TWO)
    assert alone.fingerprints == both.fingerprints
    futures = [ask(both, 5 * BATCH, method, seed) for seed in range(6)] + [ask(both, 30 * BATCH, "prior")]
    for seed, future in enumerate(futures[:6]):
        here, there = draw(alone, 5 * BATCH, method, seed), future.result(timeout=PATIENCE)
        np.testing.assert_array_equal(here.latents, there.latents)
        np.testing.assert_array_equal(here.rows, there.rows)
    futures[6].result(timeout=PATIENCE)
    assert books_balance(both)


def test_two_loops_on_one_device_are_two_of_one_kind(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, both = start(), start(devices=("cpu",), loops=2)
    assert alone.fingerprints == both.fingerprints
    np.testing.assert_array_equal(draw(alone, 9, "latentrs", 5).rows, draw(both, 9, "latentrs", 5).rows)
    meeting = Meeting(both, monkeypatch)
    assert draw(both, 40 * BATCH, "prior").n == 40 * BATCH
    assert min(meeting.rows) > 0
    assert books_balance(both)


def test_seeded_work_stays_on_the_first_of_unlike_devices(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = count()
    monkeypatch.setattr(warmup, "device_facts", lambda _: {"device": next(kinds)})
    engine = start(devices=TWO)
    served = engine.served("points")
    assert not served.alike
    monkeypatch.setattr(served.bundles[1].generator, "forward", never_called)
    futures = [ask(engine, BATCH, "prior", seed) for seed in range(8)]
    assert [future.result(timeout=PATIENCE).n for future in futures] == [BATCH] * 8


def never_called(z: torch.Tensor) -> torch.Tensor:
    raise AssertionError("seeded work on another device")


def test_rows_of_a_request_that_left_while_both_worked_are_accounted_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(devices=TWO)
    first, second = (Gate(bundle.generator, monkeypatch) for bundle in engine.served("points").bundles)
    future = ask(engine, 100 * BATCH, "prior")
    first.wait()
    second.wait()
    assert future.cancel()
    first.let(1_000)  # lets the request go while the other device still has a batch of it
    draw(engine, 1, "prior", decode=False)
    second.let(1_000)
    with pytest.raises(CancelledError):
        future.result()
    settled(engine)
    assert decoded(engine) == 2 * BATCH
    assert wasted(engine, "cancelled") >= BATCH
    assert books_balance(engine)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("how", ["cancelled", "late"])
@pytest.mark.parametrize("work", ["decode", "picky", "prior"])
def test_a_request_whose_stream_a_device_is_at_is_let_go_by_that_device(
    start: Start, monkeypatch: pytest.MonkeyPatch, work: str, how: str
) -> None:
    engine = start(devices=TWO)
    gate = Gate(engine.served("points").bundles[0].generator, monkeypatch)
    with engine._queue._changed:
        if work == "decode":
            future: Future[Any] = engine.evaluate(DECODE, np.zeros((100 * BATCH, 2), np.float32), "points")
        else:
            future = ask(engine, 100 * BATCH, work, seed=1)
        (job,) = engine._queue._jobs.values()
        job.ticket.home = 0
    gate.wait()
    with engine._queue._changed:
        if how == "late":
            job.deadline = 0.0
            engine._queue._timed.add(job)
    if how == "cancelled":
        assert future.cancel()
    round_trip(engine, 1)
    assert job.ticket in engine._queue._jobs
    gate.let(1_000)
    settled(engine)
    assert future.done()
    assert engine.metrics.value("winnow_supply_rows", model="points") == 0
    assert books_balance(engine)


def round_trip(engine: Engine, device: int) -> None:
    """``device`` has been at work once more."""
    with engine._queue._changed:
        future = ask(engine, 1, "prior", seed=1, decode=False)
        job = next(job for job in engine._queue._jobs.values() if job.future is future)
        job.ticket.home = device
    future.result(timeout=PATIENCE)


def settled(engine: Engine) -> None:
    """Both devices have been round once more."""
    for _ in range(2):
        with engine._queue._changed:
            futures = [ask(engine, 1, "prior", seed=1, decode=False) for _ in range(2)]
            for device, future in enumerate(futures):
                job = next(job for job in engine._queue._jobs.values() if job.future is future)
                job.ticket.home = device
        for future in futures:
            future.result(timeout=PATIENCE)


def test_a_failure_on_one_device_fails_the_request_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(devices=TWO)
    meeting = Meeting(engine, monkeypatch)
    broken = engine.served("points").bundles[1].generator
    forward = broken.forward
    monkeypatch.setattr(broken, "forward", lambda z: forward(z) * float("nan"))
    with pytest.raises(GenerationFailed, match="NaN"):
        draw(engine, 1_000 * BATCH, "prior")
    settled(engine)
    assert min(meeting.rows) > 0
    assert books_balance(engine)
    assert not engine._queue._jobs


def test_a_request_that_both_fail_fails_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(devices=TWO)
    for bundle in engine.served("points").bundles:
        monkeypatch.setattr(bundle.generator, "forward", lambda z: torch.full((len(z), 2), float("nan")))
    Meeting(engine, monkeypatch)
    with pytest.raises(GenerationFailed, match="NaN"):
        draw(engine, 1_000 * BATCH, "prior")
    settled(engine)
    assert engine.unready() is None


def test_each_device_has_pools_of_its_own(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(devices=TWO)
    Meeting(engine, monkeypatch)
    draw(engine, 20 * BATCH, "latentrs")
    pools = [next(iter(turn.supplies._supplies.values())) for turn in engine._turns]
    assert [pool.bundle for pool in pools] == list(engine.served("points").bundles)


def test_a_model_is_replaced_on_every_device(start: Start, tmp_path: Path) -> None:
    write_bundle(tmp_path, "points", POINTS, POINT_GENERATOR, None)
    engine = start(tmp_path, "points", devices=TWO, pool_rows=BATCH)
    draw(engine, 20 * BATCH, "prior")
    before = engine.served("points")
    write_bundle(tmp_path, "points", POINTS, POINT_GENERATOR, never)
    engine.shelf.load("points")
    after = engine.served("points")
    assert len(after.bundles) == 2
    assert {bundle.digest for bundle in after.bundles}.isdisjoint({before.bundle.digest})
    assert draw(engine, 20 * BATCH, "prior").fingerprint == after.fingerprint
    settled(engine)
    kept = [key[0] for turn in engine._turns for key in turn.supplies._supplies]
    assert set(kept) == {after.bundle.digest}


def test_what_lies_in_the_pools_of_a_reloaded_model_is_let_go_on_every_device(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(devices=TWO)
    Meeting(engine, monkeypatch)
    draw(engine, 20 * BATCH, "latentrs")
    engine.shelf.load("points")
    settled(engine)
    assert [list(turn.supplies._supplies) for turn in engine._turns] == [[], []]


def test_one_device_that_is_wedged_makes_the_engine_unready(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(devices=TWO)
    assert engine.unready() is None
    monkeypatch.setattr(engine._loops[1], "turn_started", 0.0)
    assert str(engine.unready()).startswith("a batch has been running")


def test_loops_on_the_cpu_share_its_threads(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    start(devices=TWO, threads=4)
    assert given[:2] == [2, 2]
