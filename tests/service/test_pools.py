"""The pools: filled while the device is idle, each latent handed out once, gone with their model."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import perf_counter

import numpy as np
import pytest
from books import books_balance
from draws import ask, draw
from tiny_bundles import BATCH, BLOCK

from service.engine.engine import Engine
from service.engine.errors import Stalled
from service.engine.rows import SampleRequest
from service.engine.supplies import MAX_SUPPLIES

Start = Callable[..., Engine]
POOL = 3 * BLOCK
pytestmark = pytest.mark.usefixtures("toys")


def until(condition: Callable[[], bool]) -> None:
    started, pause = perf_counter(), Event()
    while not condition():
        pause.wait(0.001)  # the device's thread needs the interpreter, too
        assert perf_counter() - started < 60, "it never came to that"


def stock(engine: Engine, method: str) -> float:
    return engine.metrics.value("winnow_pool_latents", model="points", method=method)


@pytest.mark.parametrize("method", ["prior", "latentrs", "latentga", "latentrsga"])
def test_a_pool_is_filled_when_nobody_waits_and_then_rests(start: Start, method: str) -> None:
    engine = start(pool_rows=POOL)
    draw(engine, 1, method)
    until(lambda: stock(engine, method) >= POOL)
    proposals = engine.metrics.value("winnow_proposals_total", model="points", method=method)
    draw(engine, 1, "moving", decode=False)
    assert engine.metrics.value("winnow_proposals_total", model="points", method=method) == proposals
    assert stock(engine, method) < POOL + BLOCK


def test_what_lies_ready_costs_no_proposal(start: Start) -> None:
    engine = start(pool_rows=POOL)
    draw(engine, 1, "latentrs")
    until(lambda: stock(engine, "latentrs") >= POOL)
    draw(engine, BATCH, "latentrs")
    assert engine.metrics.value("winnow_pool_requests_total", result="hit") == 1
    assert engine.metrics.value("winnow_pool_requests_total", result="miss") == 1


def test_a_method_that_idle_time_is_too_short_for_finds_no_stock_and_misses_none(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.supplies.LONGEST_FILLING_SECONDS", 0.0)
    engine = start(pool_rows=POOL)
    draw(engine, 1, "latentrs")  # whose first block tells how long one takes
    misses = engine.metrics.value("winnow_pool_requests_total", result="miss")
    for _ in range(3):
        draw(engine, 2 * BLOCK, "latentrs")
    assert engine.metrics.value("winnow_pool_requests_total", result="miss") == misses


@pytest.mark.parametrize("method", ["latentrs", "latentga", "latentrsga"])
def test_each_latent_is_handed_out_once(start: Start, method: str) -> None:
    engine = start(pool_rows=POOL)
    drawn = [draw(engine, n, method, decode=False).latents for n in (1, 500, 3, 40, 700)]
    latents = np.concatenate(drawn)
    assert len(np.unique(latents, axis=0)) == len(latents)


def test_a_pool_of_decoded_rows_is_in_the_books(start: Start) -> None:
    engine = start(pool_rows=POOL)
    draw(engine, 1, "picky")
    until(lambda: stock(engine, "picky") >= BATCH)
    assert engine.metrics.value("winnow_supply_rows", model="points") == stock(engine, "picky")
    assert books_balance(engine)


def test_a_pool_whose_method_fails_is_not_tried_again_until_somebody_asks(start: Start) -> None:
    engine = start(pool_rows=POOL)
    draw(engine, 1, "moving")
    with pytest.raises(Exception, match="fell off the edge"):
        draw(engine, 1, "moving", step_size=-10)
    until(lambda: stock(engine, "moving") >= POOL)
    assert draw(engine, 1, "moving").n == 1


def test_more_pools_than_are_kept_in_one_turn_leave_nothing_behind(start: Start) -> None:
    engine = start()
    with engine._queue._changed:
        futures = [ask(engine, 1, "moving", step_size=i / 1_000, decode=False) for i in range(3 * MAX_SUPPLIES)]
    assert all(future.result(timeout=60).n == 1 for future in futures)
    draw(engine, 1, "prior")
    assert len(engine._accounts._stocked) <= MAX_SUPPLIES
    held = sum(
        supply.ready for supply in engine._turns[0].supplies._supplies.values() if supply.sampler.method == "moving"
    )
    assert stock(engine, "moving") == held


def test_a_pool_that_accepts_nothing_is_given_up(start: Start) -> None:
    engine = start(pool_rows=POOL, max_proposals_per_sample=20)
    with pytest.raises(Stalled):
        engine.submit(SampleRequest(n=1, model="barren", method="latentrs")).result(timeout=60)
    pair = {"model": "barren", "method": "latentrs"}
    supply = next(s for s in engine._turns[0].supplies._supplies.values() if s.bundle.name == "barren")
    until(lambda: supply.broken)
    draw(engine, 1, "prior")
    proposals = engine.metrics.value("winnow_proposals_total", **pair)
    draw(engine, 1, "prior")
    assert engine.metrics.value("winnow_proposals_total", **pair) == proposals


class Meanwhile(str):
    """A digest that lets another thread in when it is hashed, once."""

    def __new__(cls, digest: str, then: list[Callable[[], None]]) -> Meanwhile:
        self = super().__new__(cls, digest)
        self.then = then
        return self

    def __hash__(self) -> int:
        if self.then:
            self.then.pop()()
        return super().__hash__()


def test_no_bundle_is_forgotten_that_is_dropped_while_a_device_trims(start: Start) -> None:
    engine = start()
    draw(engine, 1, "latentrs")
    supplies, digest = engine._turns[0].supplies, engine.model("points").digest
    supplies.drop(Meanwhile(digest, [lambda: supplies.trim({digest})]))
    supplies.trim({digest})
    assert not supplies._supplies
