"""The engine: seeds, sharing, fairness, cancellation, and books that balance."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
import torch
from books import books_balance
from gates import Gate
from tiny_bundles import BATCH

from models.bundle import load_bundle
from sampling.methods import bind
from sampling.sampler import BlockSizes
from sampling.seeded import SEEDED_SIZES, draw_seeded
from service.engine.engine import Engine
from service.engine.errors import DeviceStopped, Draining, GenerationFailed, Overloaded
from service.engine.rows import SampleRequest, Samples

Start = Callable[..., Engine]


def draw(engine: Engine, **request: Any) -> Samples:
    return engine.submit(SampleRequest(**request)).result(timeout=120)


@pytest.fixture
def gated(start: Start, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Engine, Gate]]:
    def build(**options: Any) -> tuple[Engine, Gate]:
        engine = start(**options)
        bundle = engine.catalog.models["images"].bundle
        assert bundle is not None
        return engine, Gate(bundle.generator, monkeypatch)

    return build


@pytest.mark.parametrize("method", ["prior", "latentrs"])
@pytest.mark.parametrize("model", ["images", "points"])
def test_a_short_seeded_draw_begins_every_longer_one(start: Start, model: str, method: str) -> None:
    engine = start()
    longest = draw(engine, n=100, model=model, method=method, seed=9)
    for n in (1, BATCH - 1, BATCH, BATCH + 1, 64):
        shorter = draw(engine, n=n, model=model, method=method, seed=9)
        for name in ("latents", "weights", "rows"):
            assert np.array_equal(getattr(shorter, name), getattr(longest, name)[:n])


def test_nothing_in_flight_changes_a_seeded_byte(start: Start) -> None:
    engine = start()
    alone = draw(engine, n=50, seed=3)
    crowd = [engine.submit(SampleRequest(n=n, seed=seed)) for n, seed in [(33, None), (50, 4), (5, None), (50, 3)]]
    assert np.array_equal(crowd[-1].result(timeout=120).rows, alone.rows)
    assert not np.array_equal(crowd[1].result(timeout=120).rows, alone.rows)


def test_seeded_latents_are_those_of_the_sampling_package(start: Start, bundles: Any) -> None:
    engine, bundle = start(), load_bundle(bundles / "points")
    for method in ("latentrs", "prior"):
        sampler = bind(bundle, method, sizes=BlockSizes(SEEDED_SIZES.latents, BATCH))
        expected = draw_seeded(sampler, 70, seed=11, offset=5)
        found = draw(engine, n=70, model="points", method=method, seed=11, offset=5)
        assert np.array_equal(found.latents, expected.latents.numpy())
        assert expected.weights is not None
        assert np.array_equal(found.weights, expected.weights.numpy())


def test_filtered_latents_have_the_weight_that_rejection_promises(start: Start) -> None:
    """E[w] under the law min(w, cap) * prior is E[w^2] / E[w] of the prior, here by one and the same w."""
    engine = start()
    prior = draw(engine, n=20_000, model="points", method="prior", decode=False).weights
    filtered = draw(engine, n=20_000, model="points", method="latentrs", decode=False).weights
    assert prior is not None
    assert filtered is not None
    expected = float((prior**2).mean() / prior.mean())
    assert expected - prior.mean() > 0.2
    assert filtered.mean() == pytest.approx(expected, abs=6 * float(filtered.std()) / 20_000**0.5)


def test_the_acceptance_rate_is_the_mean_weight_over_the_cap(start: Start) -> None:
    engine = start()
    draw(engine, n=20_000, model="points", method="latentrs", decode=False)
    pair = {"model": "points", "method": "latentrs"}
    proposals = engine.metrics.value("winnow_proposals_total", **pair)
    accepted = engine.metrics.value("winnow_accepted_total", **pair)
    mean = engine.metrics.value("winnow_mean_weight", model="points")
    assert accepted >= 20_000
    assert accepted / proposals == pytest.approx(mean / 3, abs=6 * 0.5 / proposals**0.5)
    assert engine.metrics.value("winnow_weight_bound_exceeded_total", model="points") == 0


def test_a_seeded_answer_reports_exactly_what_it_evaluated(start: Start) -> None:
    engine = start()
    samples = draw(engine, n=30, model="points", seed=1)
    pair = {"model": "points", "method": "latentrs"}
    assert samples.proposals == engine.metrics.value("winnow_proposals_total", **pair)
    accepted = engine.metrics.value("winnow_accepted_total", **pair)
    assert samples.acceptance_rate == accepted / samples.proposals


def test_unseeded_requests_share_batches_and_waste_nothing(gated: Callable[..., tuple[Engine, Gate]]) -> None:
    engine, gate = gated()
    first = engine.submit(SampleRequest(n=1))
    gate.wait()
    others = [engine.submit(SampleRequest(n=1)) for _ in range(BATCH)]
    gate.let(2)
    assert all(future.result(timeout=60).n == 1 for future in [first, *others])
    assert gate.calls == 2
    assert engine.metrics.value("winnow_rows_wasted_total", reason="padding") == 0


@pytest.mark.parametrize("small_seed", [None, 1])
@pytest.mark.parametrize("large_seed", [None, 2])
def test_one_sample_beside_a_large_request_waits_at_most_three_batches(
    gated: Callable[..., tuple[Engine, Gate]], small_seed: int | None, large_seed: int | None
) -> None:
    engine, gate = gated()
    large = engine.submit(SampleRequest(n=100 * BATCH, seed=large_seed))
    gate.wait()
    small = engine.submit(SampleRequest(n=1, seed=small_seed))
    gate.let(3)
    assert small.result(timeout=60).n == 1
    assert not large.done()
    assert gate.calls <= 4
    gate.let(1_000)
    assert large.result(timeout=120).n == 100 * BATCH


def test_many_single_requests_are_all_served_in_turn(start: Start) -> None:
    engine = start()
    futures = [engine.submit(SampleRequest(n=1 + i % 3, model=("points", "plain")[i % 2])) for i in range(200)]
    assert [future.result(timeout=60).n for future in futures] == [1 + i % 3 for i in range(200)]


@pytest.mark.parametrize("seed", [None, 5])
def test_a_cancelled_request_stops_costing_at_the_next_batch(
    gated: Callable[..., tuple[Engine, Gate]], seed: int | None
) -> None:
    engine, gate = gated()
    future = engine.submit(SampleRequest(n=100 * BATCH, seed=seed))
    gate.wait()
    gate.let(1)
    gate.wait()
    assert future.cancel()
    gate.let(1_000)
    assert draw(engine, n=1).n == 1
    made = 2 * BATCH
    if seed is None:  # the next request got one of its rows, and the others wait
        assert gate.calls == 2
        assert engine.metrics.value("winnow_supply_rows", model="images") == made - 1
    else:
        assert gate.calls == 3
        assert engine.metrics.value("winnow_rows_wasted_total", reason="cancelled") == made
    assert engine.metrics.value("winnow_queue_rows") == 0
    assert books_balance(engine)
    with pytest.raises(CancelledError):
        future.result()


def test_every_decoded_row_is_delivered_or_counted_as_waste(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    requests = [(n, model, seed) for n in (1, 13, 40) for model in ("images", "points") for seed in (None, 7)]
    futures = [engine.submit(SampleRequest(n=n, model=model, seed=seed)) for n, model, seed in requests]
    for future in futures:
        future.result(timeout=120)
    assert engine.metrics.value("winnow_rows_wasted_total", reason="padding") > 0
    assert books_balance(engine)
    bundle = engine.catalog.models["images"].bundle
    assert bundle is not None
    forward, calls = bundle.generator.forward, iter(range(100))

    def fail_late(z: torch.Tensor) -> torch.Tensor:
        if next(calls) >= 2:
            raise RuntimeError("no more")
        samples: torch.Tensor = forward(z)
        return samples

    monkeypatch.setattr(bundle.generator, "forward", fail_late)
    with pytest.raises(GenerationFailed, match="no more"):
        draw(engine, n=10 * BATCH)
    assert engine.metrics.value("winnow_rows_wasted_total", reason="failed") == 2 * BATCH
    assert books_balance(engine)


def test_a_full_queue_refuses_bulk_with_a_time_and_still_takes_a_single_sample(
    gated: Callable[..., tuple[Engine, Gate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, gate = gated(queue_seconds=10.0, queue_stretch=0.0)
    monkeypatch.setattr(engine._queue, "seconds_of", lambda job: float(job.ticket.rows))
    large = engine.submit(SampleRequest(n=90))
    gate.wait()
    with pytest.raises(Overloaded, match="90 samples are waiting already, and this one would wait") as refusal:
        engine.submit(SampleRequest(n=20))
    assert refusal.value.retry_after >= 1
    single = engine.submit(SampleRequest(n=1))
    gate.let(1_000)
    assert (large.result(timeout=60).n, single.result(timeout=60).n) == (90, 1)
    assert draw(engine, n=100).n == 100


def test_the_number_of_waiting_requests_is_bounded(gated: Callable[..., tuple[Engine, Gate]]) -> None:
    engine, gate = gated(queue_requests=2)
    admitted = [engine.submit(SampleRequest(n=1)) for _ in range(2)]
    with pytest.raises(Overloaded):
        engine.submit(SampleRequest(n=1))
    gate.let(1_000)
    assert all(future.result(timeout=60).n == 1 for future in admitted)
    assert draw(engine, n=1).n == 1


def test_closing_finishes_what_was_admitted_and_refuses_the_rest(start: Start) -> None:
    engine = start()
    futures = [engine.submit(SampleRequest(n=50)) for _ in range(4)]
    assert engine.close(timeout=120)
    assert all(future.done() and future.result().n == 50 for future in futures)
    assert engine.unready() == "draining"
    with pytest.raises(Draining):
        engine.submit(SampleRequest(n=1))


def test_closing_finishes_the_short_before_the_long(gated: Callable[..., tuple[Engine, Gate]]) -> None:
    """Even shares would have both in the device's hands until the grace period is over."""
    engine, gate = gated()
    long = engine.submit(SampleRequest(n=100 * BATCH, seed=1))
    gate.wait()
    short = engine.submit(SampleRequest(n=5 * BATCH, seed=2))
    engine.stop_admission()
    gate.let(1 + 5)
    assert short.result(timeout=60).n == 5 * BATCH
    engine.cut_off()
    gate.let(1_000)
    with pytest.raises(Draining):
        long.result(timeout=60)
    assert engine.close(timeout=60)
    assert books_balance(engine)


def test_a_cut_off_ends_admitted_work_at_the_next_batch(gated: Callable[..., tuple[Engine, Gate]]) -> None:
    engine, gate = gated()
    futures = [engine.submit(SampleRequest(n=100 * BATCH, seed=seed)) for seed in (None, 1)]
    gate.wait()
    engine.cut_off()
    gate.let(1)
    for future in futures:
        with pytest.raises(Draining, match="grace period is over"):
            future.result(timeout=60)
    assert engine.close(timeout=60)
    assert gate.calls == 1
    assert books_balance(engine)


def test_nobody_waits_for_a_device_loop_that_is_gone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()

    def mistake(*_: object) -> None:
        raise AssertionError("a mistake in the loop itself")

    monkeypatch.setattr(engine._loops[0], "_note_start", mistake)
    with pytest.raises(DeviceStopped, match="restarted"):
        draw(engine, n=1)
    engine._threads[0].join(timeout=60)
    assert engine.unready() == "the loop of device cpu has stopped"


@pytest.mark.parametrize("seed", [None, 1])
def test_the_books_of_a_device_loop_that_is_gone_are_closed(
    start: Start, monkeypatch: pytest.MonkeyPatch, toys: None, seed: int | None
) -> None:
    engine = start()

    def mistake(*_: object) -> None:
        raise AssertionError("a mistake in the loop itself")

    monkeypatch.setattr(engine._queue, "worked", mistake)
    futures = [engine.submit(SampleRequest(5 * BATCH, "points", method, seed)) for method in ("prior", "picky")]
    for future in futures:
        with pytest.raises(DeviceStopped, match="restarted"):
            future.result(timeout=60)
    engine._threads[0].join(timeout=60)
    assert engine.metrics.value("winnow_decoded_rows_total", model="points") > 0
    assert engine.metrics.value("winnow_queue_requests") == engine._queue.memory.taken == 0
    assert books_balance(engine)


@pytest.mark.parametrize("request_", [SampleRequest(n=0), SampleRequest(n=1, seed=-1), SampleRequest(n=1, seed=2**63)])
def test_senseless_requests_are_refused_at_the_door(start: Start, request_: SampleRequest) -> None:
    with pytest.raises(ValueError, match="must"):
        start().submit(request_)
