"""Memory that is short for a while: only what did not fit gets smaller, and later has its full size again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import torch
from books import books_balance
from gates import spoil
from tiny_bundles import BATCH, BLOCK

from service.engine import decoding, shelf
from service.engine.engine import Engine
from service.engine.errors import OutOfMemory
from service.engine.evaluations import DECODE, SCORE
from service.engine.rows import SampleRequest

Start = Callable[..., Engine]
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory")
LATENTS = np.zeros((BLOCK, 16), np.float32)


def beyond(rows: int) -> Callable[[torch.Tensor], Exception | None]:
    """Calls of more than ``rows`` rows find no memory."""
    return lambda z: NO_MEMORY if len(z) > rows else None


def test_no_memory_for_the_weights_leaves_the_batches_as_they_are(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    before, calls = engine.served("images"), list[int]()
    requests: list[Callable[[], Future[Any]]] = [
        lambda: engine.submit(SampleRequest(n=5, method="latentrs")),
        lambda: engine.submit(SampleRequest(n=5, method="latentrs", decode=False)),
        lambda: engine.evaluate(SCORE, np.zeros((BLOCK, 16), np.float32)),
    ]
    with monkeypatch.context() as meanwhile:
        calls = spoil(engine.model("images").networks["importance"], meanwhile, beyond(BLOCK // 8))
        for number, request in enumerate(requests):
            with pytest.raises(OutOfMemory, match="blocks are shorter now: ask again") as refusal:
                request().result(timeout=60)
            assert (calls[-1], refusal.value.retry_after) == (BLOCK >> number, 1)
        for request in requests:
            request().result(timeout=60)
    assert max(calls[len(requests) :]) == BLOCK // 8
    served = engine.served("images")
    assert (served.batch_rows, served.proposal_block) == (BATCH, BLOCK // 8)
    assert (served.decoders, served.fingerprint) == (before.decoders, before.fingerprint)
    assert engine.metrics.value("winnow_oom_total") == len(requests)
    assert books_balance(engine)


def test_a_seed_s_blocks_stay_as_they_are_and_a_single_proposal_is_not_halved(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(proposal_block=1)
    before = engine.served("images")
    spoil(engine.model("images").networks["importance"], monkeypatch, lambda _: NO_MEMORY)
    for seed in (1, None):
        with pytest.raises(OutOfMemory, match="no memory for a block of") as refusal:
            engine.submit(SampleRequest(n=1, method="latentrs", seed=seed)).result(timeout=60)
        assert refusal.value.retry_after == decoding.REST_SECONDS
    assert engine.served("images") is before


def sizes(engine: Engine) -> tuple[int, int]:
    """Of a batch and of a block, once the device is done with what it was asked."""
    engine._queue.chore(lambda: None).result(timeout=60)
    served = engine.served("images")
    return served.batch_rows, served.proposal_block


def run_short(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of memory for whole batches and whole blocks."""
    networks = engine.model("images").networks
    for work, network, most in ((SCORE, "importance", BLOCK // 2), (DECODE, "generator", BATCH // 2)):
        with monkeypatch.context() as meanwhile:
            spoil(networks[network], meanwhile, beyond(most))
            with pytest.raises(OutOfMemory, match="ask again"):
                engine.evaluate(work, LATENTS).result(timeout=60)


def test_after_a_while_the_full_size_is_back_with_the_bytes_that_it_had(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, seeded = start(), SampleRequest(n=2 * BATCH, seed=1)
    before = engine.submit(seeded).result(timeout=60)
    run_short(engine, monkeypatch)
    short = engine.submit(seeded).result(timeout=60)
    assert short.fingerprint != before.fingerprint
    assert sizes(engine) == (BATCH // 2, BLOCK // 2), "it is not tried at once"
    monkeypatch.setattr(shelf, "REGAIN_SECONDS", 0)
    engine.submit(seeded).result(timeout=60)
    assert sizes(engine) == (BATCH, BLOCK)
    calls = spoil(engine.model("images").generator, monkeypatch, lambda _: None)
    again = engine.submit(seeded).result(timeout=60)
    assert again.fingerprint == before.fingerprint and np.array_equal(again.rows, before.rows)
    assert engine.submit(SampleRequest(n=2 * BATCH)).result(timeout=60).n == 2 * BATCH
    assert set(calls) == {BATCH}
    assert books_balance(engine)


@pytest.mark.parametrize(("network", "most"), [("importance", BLOCK // 2), ("generator", BATCH // 2)])
def test_while_the_full_size_does_not_fit_nobody_notices_that_it_is_tried(
    start: Start, monkeypatch: pytest.MonkeyPatch, network: str, most: int
) -> None:
    engine = start()
    run_short(engine, monkeypatch)
    ooms = engine.metrics.value("winnow_oom_total")
    monkeypatch.setattr(shelf, "REGAIN_SECONDS", 0)
    calls = spoil(engine.model("images").networks[network], monkeypatch, beyond(most))
    for _ in range(3):
        assert engine.submit(SampleRequest(n=2 * BATCH)).result(timeout=60).n == 2 * BATCH
    assert sizes(engine) == (BATCH // 2, BLOCK // 2)
    assert max(calls) > most, "it was tried"
    assert engine.metrics.value("winnow_oom_total") == ooms
    assert engine.unready() is None


def test_a_full_size_that_fails_again_rests_for_twice_as_long(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    run_short(engine, monkeypatch)
    rests = []
    for _ in range(3):
        rests.append(engine.shelf._full["images"].rests)
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(shelf, "REGAIN_SECONDS", 0)
            engine.submit(SampleRequest(n=1)).result(timeout=60)
            assert sizes(engine) == (BATCH, BLOCK)
        run_short(engine, monkeypatch)
        assert sizes(engine) == (BATCH // 2, BLOCK // 2)
    assert rests == [1, 2, 4]


def test_a_job_of_the_smaller_size_that_finds_no_memory_later_leaves_the_full_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    full = engine.served("images")
    run_short(engine, monkeypatch)
    short = engine.served("images")
    decoder = decoding.Decoder(engine.metrics, engine.shelf)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(shelf, "REGAIN_SECONDS", 0)
        engine.submit(SampleRequest(n=1)).result(timeout=60)
        assert sizes(engine) == (BATCH, BLOCK)
    assert engine.served("images") is full
    decoder.out_of_memory(short)
    assert (decoder.most(short), decoder.most(full)) == (BATCH // 4, BATCH)


def test_a_model_that_is_loaded_anew_has_its_full_size_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    run_short(engine, monkeypatch)
    engine.shelf.load("images")
    loaded = engine.served("images")
    assert sizes(engine) == (BATCH, BLOCK)
    monkeypatch.setattr(shelf, "REGAIN_SECONDS", 0)
    engine.submit(SampleRequest(n=1)).result(timeout=60)
    assert sizes(engine) == (BATCH, BLOCK)
    assert engine.served("images") is loaded, "not what was there before"
