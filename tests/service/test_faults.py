"""What goes wrong on the device: said to those whom it concerns, and survived."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from books import books_balance
from draws import ask, draw
from gates import Gate, spoil
from tiny_bundles import BATCH

from models.manifest import NetworkRole
from service.engine import decoding, shelf
from service.engine.engine import Engine
from service.engine.errors import DeadlineExceeded, DeadlineTooShort, GenerationFailed, OutOfMemory
from service.engine.evaluations import DECODE, SCORE, Work
from service.engine.rows import SampleRequest
from service.engine.served import Served

Start = Callable[..., Engine]
NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
]


def only_with(rows: int, error: Exception) -> Callable[[torch.Tensor], Exception | None]:
    """Calls of more than ``rows`` rows raise."""
    return lambda z: error if len(z) > rows else None


@pytest.mark.parametrize("error", NO_MEMORY)
@pytest.mark.parametrize("fits", [1, 3, BATCH // 2])
def test_without_memory_batches_get_smaller_and_unseeded_requests_do_not_notice(
    start: Start, monkeypatch: pytest.MonkeyPatch, error: Exception, fits: int
) -> None:
    engine = start()
    calls = spoil(engine.model("images").generator, monkeypatch, only_with(fits, error))
    assert engine.submit(SampleRequest(n=5 * BATCH)).result(timeout=60).n == 5 * BATCH
    assert engine.metrics.value("winnow_oom_total") >= 1
    tried = len([rows for rows in calls if rows > fits])
    assert engine.submit(SampleRequest(n=5 * BATCH)).result(timeout=60).n == 5 * BATCH
    assert len([rows for rows in calls if rows > fits]) == tried
    assert books_balance(engine)


def test_a_seeded_request_without_memory_is_refused_and_comes_again_with_another_fingerprint(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    before = engine.fingerprints["images"]
    spoil(engine.model("images").generator, monkeypatch, only_with(BATCH // 2, NO_MEMORY[0]))
    with pytest.raises(OutOfMemory, match="another fingerprint"):
        engine.submit(SampleRequest(n=2 * BATCH, seed=1)).result(timeout=60)
    again = engine.submit(SampleRequest(n=2 * BATCH, seed=1)).result(timeout=60)
    assert again.fingerprint == engine.fingerprints["images"] != before
    assert engine.served("images").batch_rows == BATCH // 2
    assert np.array_equal(engine.submit(SampleRequest(n=9, seed=1)).result(timeout=60).rows, again.rows[:9])
    assert books_balance(engine)


def test_a_device_without_memory_for_a_single_row_says_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    spoil(engine.model("images").generator, monkeypatch, only_with(0, NO_MEMORY[0]))
    for seed in (None, 1):
        with pytest.raises(OutOfMemory, match="no memory"):
            engine.submit(SampleRequest(n=2, seed=seed)).result(timeout=60)
    assert engine.submit(SampleRequest(n=2, model="points")).result(timeout=60).n == 2
    assert engine.unready() is None
    monkeypatch.undo()
    calls = spoil(engine.model("images").generator, monkeypatch, lambda _: None)
    engine.submit(SampleRequest(n=2 * BATCH)).result(timeout=60)
    assert max(calls) == BATCH


def test_a_passing_fault_is_nobodys(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    calls = iter(range(1_000))
    spoil(engine.model("images").generator, monkeypatch, lambda _: RuntimeError("once") if next(calls) == 1 else None)
    assert engine.submit(SampleRequest(n=3 * BATCH)).result(timeout=60).n == 3 * BATCH
    assert books_balance(engine)


def once() -> Callable[[torch.Tensor], Exception | None]:
    """A fault of the first call."""
    calls = iter(range(10_000))
    return lambda _: RuntimeError("once") if next(calls) == 0 else None


@pytest.mark.parametrize(("work", "network"), [(DECODE, "generator"), (SCORE, "importance")])
def test_a_passing_fault_is_nobodys_whose_latents_are_given(
    start: Start, monkeypatch: pytest.MonkeyPatch, work: Work, network: NetworkRole
) -> None:
    engine = start()
    spoil(engine.model("images").networks[network], monkeypatch, once())
    assert engine.evaluate(work, np.zeros((3 * BATCH, 16), np.float32)).result(timeout=60).n == 3 * BATCH
    assert books_balance(engine) == work.decodes, "where nothing is decoded there are no books"


def test_a_passing_fault_of_the_weights_is_nobodys(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(pool_rows=0)
    spoil(engine.model("images").networks["importance"], monkeypatch, once())
    assert engine.submit(SampleRequest(n=3, method="latentrs")).result(timeout=60).n == 3
    assert books_balance(engine)


def test_a_passing_fault_changes_no_byte_of_a_seed_with_slots_of_its_own(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.warmup.rows_mix", lambda *_: False)
    engine = start()
    assert not engine.served("images").mixes
    request = SampleRequest(n=3 * BATCH, seed=5)
    before = engine.submit(request).result(timeout=60)
    spoil(engine.model("images").generator, monkeypatch, once())
    assert np.array_equal(engine.submit(request).result(timeout=60).rows, before.rows)
    assert books_balance(engine)


def test_latents_that_a_generator_cannot_take_fail_their_own_request_only(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    poison = engine.submit(SampleRequest(n=2, seed=7, decode=False)).result(timeout=60).latents[0]

    def spoilt(z: torch.Tensor) -> Exception | None:
        return RuntimeError("poison") if any(np.array_equal(row, poison) for row in z.numpy()) else None

    spoil(engine.model("images").generator, monkeypatch, spoilt)
    with engine._queue._changed:
        futures = [engine.submit(SampleRequest(n=2, seed=seed)) for seed in (6, 7, None)]
    with pytest.raises(GenerationFailed, match="poison"):
        futures[1].result(timeout=60)
    assert futures[0].result(timeout=60).n == futures[2].result(timeout=60).n == 2
    assert books_balance(engine)


def test_a_deadline_that_cannot_be_met_is_refused_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    gate = Gate(engine.model("images").generator, monkeypatch)
    large = engine.submit(SampleRequest(n=1_000 * BATCH))
    gate.wait()
    with pytest.raises(DeadlineTooShort, match="after its deadline") as refusal:
        engine.submit(SampleRequest(n=1_000 * BATCH, timeout=1e-6))
    assert refusal.value.retry_after >= 1
    small = engine.submit(SampleRequest(n=1, timeout=60))
    gate.let(10_000)
    assert small.result(timeout=60).n == 1
    large.cancel()


def test_a_request_is_given_up_at_its_deadline(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    monkeypatch.setattr(engine._queue, "seconds_of", lambda job: 0.0)  # nobody foresees it
    late = engine.submit(SampleRequest(n=100_000, model="points", timeout=0.2))
    with pytest.raises(DeadlineExceeded, match=r"with \d+ of 100000 samples made"):
        late.result(timeout=60)
    assert engine.submit(SampleRequest(n=1)).result(timeout=60).n == 1
    assert engine.metrics.value("winnow_queue_rows") == 0
    assert books_balance(engine)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_senseless_timeout_is_refused(start: Start, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        start().submit(SampleRequest(n=1, timeout=timeout))


def test_a_request_that_waits_only_for_its_slow_reader_is_given_up_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(outbox_bytes=1)
    monkeypatch.setattr(engine._queue, "seconds_of", lambda job: 0.0)
    stream = engine.stream(SampleRequest(n=1_000 * BATCH, timeout=0.2))
    started = perf_counter()
    while not stream.made:
        assert perf_counter() - started < 60
    with pytest.raises(DeadlineExceeded):
        stream.summary()
    stream.close()
    assert books_balance(engine)


@pytest.mark.parametrize("seed", [None, 1])
def test_a_method_that_decodes_gets_smaller_blocks_too(
    start: Start, monkeypatch: pytest.MonkeyPatch, toys: None, seed: int | None
) -> None:
    engine = start()
    draw(engine, 1, "picky")
    spoil(engine.model("points").generator, monkeypatch, only_with(BATCH // 2, NO_MEMORY[0]))
    with pytest.raises(OutOfMemory, match="ask again"):
        draw(engine, 5 * BATCH, "picky", seed)
    assert draw(engine, 5 * BATCH, "picky", seed).n == 5 * BATCH
    assert engine.served("points").batch_rows == BATCH // 2
    assert books_balance(engine)


def test_requests_from_before_the_batches_got_smaller_leave_no_larger_blocks_to_later_ones(
    start: Start, monkeypatch: pytest.MonkeyPatch, toys: None
) -> None:
    engine = start()
    spoil(engine.model("points").generator, monkeypatch, only_with(BATCH // 2, NO_MEMORY[0]))
    with engine._queue._changed:
        early = [ask(engine, 5 * BATCH, "picky") for _ in range(4)]  # too many rows for a turn in common
    for future in early:
        with pytest.raises(OutOfMemory, match="ask again"):
            future.result(timeout=60)
    assert draw(engine, 5 * BATCH, "picky").n == 5 * BATCH
    served = engine.served("points")
    assert served.batch_rows == engine._turns[0].decoder.most(served) == BATCH // 2
    assert books_balance(engine)


def test_latents_of_the_caller_get_smaller_batches_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    latents = engine.submit(SampleRequest(n=3 * BATCH, decode=False)).result(timeout=60).latents
    spoil(engine.model("images").generator, monkeypatch, only_with(BATCH // 2, NO_MEMORY[0]))
    with pytest.raises(OutOfMemory, match="ask again"):
        engine.evaluate(DECODE, latents).result(timeout=60)
    assert engine.evaluate(DECODE, latents).result(timeout=60).n == 3 * BATCH


@pytest.mark.parametrize("error", NO_MEMORY)
@pytest.mark.parametrize("seed", [None, 1])
def test_no_memory_for_the_weights_is_one_requests_failure(
    start: Start, monkeypatch: pytest.MonkeyPatch, error: Exception, seed: int | None
) -> None:
    engine = start()
    with monkeypatch.context() as meanwhile:
        spoil(engine.model("images").networks["importance"], meanwhile, lambda _: error)  # while it is warmed up, too
        for work in ("latentrs", "score"):
            with pytest.raises(OutOfMemory, match="ask again"):
                if work == "score":
                    engine.evaluate(SCORE, np.zeros((1, 16), np.float32)).result(timeout=60)
                else:
                    engine.submit(SampleRequest(n=1, method=work, seed=seed)).result(timeout=60)
    assert engine.unready() is None
    assert engine.submit(SampleRequest(n=1, method="latentrs", seed=seed)).result(timeout=60).n == 1
    assert books_balance(engine)


@pytest.mark.parametrize(("rows", "tries"), [(BATCH, 3), (1, 0)])  # BATCH / 2, / 4, / 8
def test_where_no_batch_fits_it_is_told_without_a_warm_up_for_each_request(
    start: Start, monkeypatch: pytest.MonkeyPatch, rows: int, tries: int
) -> None:
    engine, warm_up, warmed = start(batch_rows=rows), shelf.warm_up, list[int]()

    def counted(*arguments: Any) -> Served:
        warmed.append(1)
        return warm_up(*arguments)

    monkeypatch.setattr(shelf, "warm_up", counted)
    with monkeypatch.context() as meanwhile:
        spoil(engine.model("images").generator, meanwhile, lambda _: NO_MEMORY[0])
        for request in (SampleRequest(rows), SampleRequest(rows, method="prior"), SampleRequest(1, seed=1)):
            for _ in range(2):
                with pytest.raises(OutOfMemory, match="no memory") as refusal:
                    engine.submit(request).result(timeout=60)
                assert refusal.value.retry_after == decoding.REST_SECONDS
        assert len(warmed) == tries
        meanwhile.setattr(decoding, "REST_SECONDS", 0)
        with pytest.raises(OutOfMemory):
            engine.evaluate(DECODE, np.zeros((1, 16), np.float32)).result(timeout=60)
        assert len(warmed) == 2 * tries
    assert engine.submit(SampleRequest(2 * BATCH)).result(timeout=60).n == 2 * BATCH
    assert engine.served("images").batch_rows == rows
    assert books_balance(engine)


def test_a_bundle_that_cannot_be_made_smaller_fails_its_request_and_not_the_loop(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    monkeypatch.setattr(shelf, "warm_up", mistaken)
    with monkeypatch.context() as meanwhile:
        spoil(engine.model("images").generator, meanwhile, lambda _: NO_MEMORY[0])
        for error, says in ((GenerationFailed, "fits no smaller batch"), (OutOfMemory, "no memory for any batch")):
            with pytest.raises(error, match=says):  # it is not warmed up for the second one
                engine.evaluate(DECODE, np.zeros((1, 16), np.float32)).result(timeout=60)
    assert engine.unready() is None
    assert engine.submit(SampleRequest(n=1, method="latentrs")).result(timeout=60).n == 1


def mistaken(*_: object) -> Served:
    raise FloatingPointError("fits no smaller batch")
