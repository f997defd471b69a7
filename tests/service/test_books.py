"""Decoded rows = delivered rows + waste by reason + rows that wait, whatever a method does."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import Any

import pytest
import torch
from books import books_balance
from draws import Start, ask, decoded, draw, wasted
from tiny_bundles import BATCH
from toy_methods import ABOVE_BOUND

from service.engine.errors import GenerationFailed
from service.engine.rows import Samples

pytestmark = pytest.mark.usefixtures("toys")


def test_rows_that_a_method_decoded_and_rejected_are_waste(start: Start) -> None:
    engine = start()
    draw(engine, 40, "picky", steps=3)
    accepted = engine.metrics.value("winnow_accepted_total", model="points", method="picky")
    assert wasted(engine, "rejected") == decoded(engine) - accepted > 0
    assert books_balance(engine)


def test_a_supply_keeps_decoded_rows_for_the_next_request(start: Start) -> None:
    engine = start()
    draw(engine, 1, "picky", acceptance=1)
    assert engine.metrics.value("winnow_supply_rows", model="points") == BATCH - 1
    assert books_balance(engine)
    before = decoded(engine)
    draw(engine, BATCH - 1, "picky", acceptance=1)
    assert decoded(engine) == before
    assert engine.metrics.value("winnow_supply_rows", model="points") == 0
    assert books_balance(engine)


def test_what_a_seeded_request_left_over_is_surplus(start: Start) -> None:
    engine = start()
    draw(engine, 3, "picky", seed=1, acceptance=1)
    assert wasted(engine, "surplus") == BATCH - 3
    assert engine.metrics.value("winnow_supply_rows", model="points") == 0
    assert books_balance(engine)


@pytest.mark.parametrize("seed", [None, 1])
def test_rows_decoded_for_a_request_that_wants_only_latents_are_waste(start: Start, seed: int | None) -> None:
    engine = start()
    assert draw(engine, 30, "picky", seed, decode=False).rows is None
    assert wasted(engine, "latents_only") == 30
    assert decoded(engine) > 30
    assert books_balance(engine)


@pytest.mark.parametrize("seed", [None, 1])
def test_the_books_of_a_cancelled_request_of_a_decoding_method_balance(
    start: Start, monkeypatch: pytest.MonkeyPatch, seed: int | None
) -> None:
    engine = start()
    future: Future[Samples]
    generator, calls = engine.model("points").generator, 0
    forward = generator.forward

    def cancelling(z: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            assert future.cancel()
        samples: torch.Tensor = forward(z)
        return samples

    monkeypatch.setattr(generator, "forward", cancelling)
    with engine._queue._changed:  # the device waits until there is a future to cancel
        future = ask(engine, 1_000, "picky", seed, acceptance=0.9)
    with pytest.raises(CancelledError):
        future.result(timeout=60)
    draw(engine, 1, "prior")
    assert (wasted(engine, "cancelled") > 0) == (seed is not None)
    assert calls <= 5  # a turn may take two blocks
    assert books_balance(engine)


@pytest.mark.parametrize("seed", [None, 1])
def test_the_books_of_a_failed_request_of_a_decoding_method_balance(
    start: Start, monkeypatch: pytest.MonkeyPatch, seed: int | None
) -> None:
    engine = start()
    generator, calls = engine.model("points").generator, iter(range(100))
    forward = generator.forward
    monkeypatch.setattr(generator, "forward", lambda z: forward(z) * (float("nan") if next(calls) >= 3 else 1))
    with pytest.raises(GenerationFailed, match="NaN"):
        draw(engine, 100, "picky", seed, acceptance=1)  # a block a turn: three are given before the fourth fails
    assert wasted(engine, "failed") == 3 * BATCH
    assert books_balance(engine)


def test_a_shared_decode_that_fails_is_the_loss_of_those_who_needed_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    bundle = engine.model("points")
    forward, own = bundle.generator.forward, False

    def only_for_picky(z: torch.Tensor) -> torch.Tensor:
        if not own:
            raise RuntimeError("no more")
        samples: torch.Tensor = forward(z)
        return samples

    def propose(stream: Any) -> Any:
        nonlocal own
        own = True
        try:
            return plain(stream)
        finally:
            own = False

    choice = engine.resolve("points", "picky", {})
    plain = choice.sampler.propose
    object.__setattr__(choice.sampler, "propose", propose)
    monkeypatch.setattr(bundle.generator, "forward", only_for_picky)
    with engine._queue._changed:
        futures = [ask(engine, 4, "prior"), ask(engine, 4, "picky")]
    with pytest.raises(GenerationFailed, match="no more"):
        futures[0].result(timeout=60)
    assert futures[1].result(timeout=60).n == 4
    assert books_balance(engine)


def test_density_ratios_above_the_frozen_bound_are_counted(start: Start) -> None:
    engine = start()
    draw(engine, 3, "moving")
    name = "winnow_ratio_bound_exceeded_total"
    assert b'winnow_ratio_bound_exceeded_total{model="points"} 0.0' in engine.metrics.exposition()
    draw(engine, 1, "picky", acceptance=1)
    assert engine.metrics.value(name, model="points") == ABOVE_BOUND
    assert engine.metrics.value(name, model="images") == 0
