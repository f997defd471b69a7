"""Rows of a request that was cancelled go to the next one that asks the same, once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path

import numpy as np
import pytest
import torch
from books import books_balance
from gates import Gate
from tiny_bundles import BATCH, POINT_GENERATOR, POINTS, never, write_bundle

from service.engine.engine import Engine
from service.engine.returns import Returned, Returns
from service.engine.rows import SampleRequest, Samples
from service.engine.supply import Take

Start = Callable[..., Engine]
KEY = ("digest", "prior", ())
ROW = 1 + 4  # a pixel, its latent


def made(rows: int) -> Returned:
    take = Take(torch.arange(rows, dtype=torch.float32).view(-1, 1), None, 3.0 * rows)
    return Returned("images", take, np.arange(rows, dtype=np.uint8).reshape(-1, 1, 1, 1))


def cancel_half_way(engine: Engine, gate: Gate, request: SampleRequest) -> Future[Samples]:
    """Three batches are made; then the client leaves."""
    future = engine.submit(request)
    for _ in range(3):
        gate.wait()
        gate.let(1)
    gate.wait()
    assert future.cancel()
    gate.let(1_000)
    return future


@pytest.mark.parametrize("method", ["prior", "latentrs"])
def test_the_next_request_gets_what_was_made_for_one_that_left(
    start: Start, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    engine = start()
    gate = Gate(engine.model("images").generator, monkeypatch)
    left = cancel_half_way(engine, gate, SampleRequest(100 * BATCH, "images", method))
    engine.submit(SampleRequest(1, "points")).result(timeout=60)  # by now it is gone
    with pytest.raises(CancelledError):
        left.result()
    assert engine.metrics.value("winnow_supply_rows", model="images") == 4 * BATCH
    assert books_balance(engine)
    calls = gate.calls
    samples = engine.submit(SampleRequest(4 * BATCH, "images", method)).result(timeout=60)
    assert gate.calls == calls
    assert engine.metrics.value("winnow_rows_wasted_total", reason="cancelled") == 0
    assert engine.metrics.value("winnow_supply_rows", model="images") == 0
    generator = engine.model("images").generator
    with torch.inference_mode():
        again = generator(torch.from_numpy(samples.latents))
    assert np.abs((again.permute(0, 2, 3, 1).numpy() + 1) * 127.5 - samples.rows).max() < 1
    assert len(np.unique(samples.latents, axis=0)) == 4 * BATCH
    assert books_balance(engine)


def test_nobody_else_gets_them(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    gate = Gate(engine.model("images").generator, monkeypatch)
    cancel_half_way(engine, gate, SampleRequest(100 * BATCH, "images", "prior"))
    engine.submit(SampleRequest(1, "points")).result(timeout=60)
    for other in (
        SampleRequest(2, "images", "latentrs"), SampleRequest(2, "images", "prior", seed=1),
        SampleRequest(2, "images", "prior", decode=False), SampleRequest(2, "points", "prior"),
    ):  # fmt: skip
        engine.submit(other).result(timeout=60)
        assert engine.metrics.value("winnow_supply_rows", model="images") == 4 * BATCH
    assert books_balance(engine)


def test_seeded_rows_are_waste(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    gate = Gate(engine.model("images").generator, monkeypatch)
    cancel_half_way(engine, gate, SampleRequest(100 * BATCH, "images", "prior", seed=1))
    engine.submit(SampleRequest(1, "points")).result(timeout=60)
    assert engine.metrics.value("winnow_rows_wasted_total", reason="cancelled") == 4 * BATCH
    assert books_balance(engine)


def test_rows_of_a_model_that_was_replaced_are_waste(
    start: Start, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("images", "points"):
        shutil.copytree(bundles / name, tmp_path / name)
    engine = start(tmp_path)
    gate = Gate(engine.model("points").generator, monkeypatch)
    cancel_half_way(engine, gate, SampleRequest(100 * BATCH, "points", "prior"))
    shutil.rmtree(tmp_path / "points")
    write_bundle(tmp_path, "points", POINTS, POINT_GENERATOR, never)
    engine.shelf.load("points")
    engine.submit(SampleRequest(1, "images")).result(timeout=60)
    assert engine.metrics.value("winnow_rows_wasted_total", reason="evicted") == 4 * BATCH
    assert books_balance(engine)


def test_rows_come_out_once_in_order_and_in_parts() -> None:
    returns = Returns(lambda *_: None)
    assert returns.put(KEY, made(5)) and returns.put(KEY, made(2))
    taken = [returns.take(KEY, most) for most in (3, 10, 10, 10)]
    assert [None if part is None else part.rows.ravel().tolist() for part in taken] == [[0, 1, 2], [3, 4], [0, 1], None]
    assert sum(part.take.proposals for part in taken if part is not None) == pytest.approx(21)


def test_what_lies_here_takes_the_memory_that_is_counted_and_not_that_of_the_whole_answer() -> None:
    whole, returns = made(1_000), Returns(lambda *_: None)
    weights = torch.ones(1_000)
    assert returns.put(KEY, Returned("images", Take(whole.take.latents[:2], weights[:2], 6.0), whole.rows[:2]))
    kept = returns.take(KEY, 2)
    assert kept is not None and kept.take.weights is not None
    assert kept.rows.base is None
    assert [part.untyped_storage().nbytes() for part in (kept.take.latents, kept.take.weights)] == [8, 8]


def test_what_lies_longest_makes_room() -> None:
    lost: list[tuple[str, int]] = []
    returns = Returns(lambda model, rows: lost.append((model, rows)), most_bytes=5 * ROW)
    first, second = (("digest", method, ()) for method in ("prior", "latentrs"))
    assert not returns.put(first, made(6)), "not even alone"
    assert returns.put(first, made(1)) and returns.put(second, made(2)) and returns.put(first, made(2))
    assert not lost
    assert returns.put(second, made(1))
    assert lost == [("images", 3)]
    assert returns.take(first, 1) is None
    assert returns.take(second, 1) is not None
    assert returns.put(first, made(3))
    assert len(lost) == 1
    returns.trim({"digest"})
    assert len(lost) == 1
    returns.trim(set())
    assert sum(rows for _, rows in lost) == 3 + 2 + 3
    assert returns.put(KEY, made(5))
