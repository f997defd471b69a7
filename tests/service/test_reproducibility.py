"""Seeded rows: sample i of a seed is the same whatever n, offset and neighbours are, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from books import books_balance
from draws import draw
from gates import spoil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_bundles import BATCH

from service.engine import warmup
from service.engine.engine import Engine
from service.engine.rows import SampleRequest, Samples

Start = Callable[..., Engine]
BATCHES = 4


@pytest.fixture(params=["rows mix", "own slots"])
def engine(request: pytest.FixtureRequest, start: Start, monkeypatch: pytest.MonkeyPatch, toys: None) -> Engine:
    monkeypatch.setattr(warmup, "rows_mix", lambda *_: request.param == "rows mix")
    engine = start()
    assert engine.served("images").reproducibility["mode"] == request.param
    return engine


def rows_of(engine: Engine, n: int, offset: int = 0, method: str = "latentrs", model: str = "images") -> Samples:
    request = SampleRequest(n=n, model=model, method=method, seed=9, offset=offset)
    return engine.submit(request).result(timeout=60)


def same(one: Samples, other: Samples, rows: slice) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("latents", "weights", "rows")]
    return all(whole is part is None or np.array_equal(whole[rows], part) for whole, part in pairs)


@pytest.mark.parametrize("method", ["prior", "latentrs"])
@pytest.mark.parametrize("offset", [0, 1, BATCH - 1, BATCH, 3 * BATCH + 2])
def test_any_stretch_is_cut_from_the_same_cloth(engine: Engine, method: str, offset: int) -> None:
    whole = rows_of(engine, 6 * BATCH, method=method)
    for n in (1, BATCH, 2 * BATCH + 1):
        assert same(whole, rows_of(engine, n, offset, method), slice(offset, offset + n))
    assert books_balance(engine)


@pytest.mark.parametrize("offset", [0, 1, 5, 3 * BATCH + 2])
def test_a_method_that_decodes_for_itself_obeys_the_same_laws(engine: Engine, offset: int) -> None:
    whole = rows_of(engine, 6 * BATCH, method="picky", model="points")
    for n in (1, 2 * BATCH + 1):
        assert same(whole, rows_of(engine, n, offset, "picky", "points"), slice(offset, offset + n))
    assert books_balance(engine)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from([None, 3, 4]), st.integers(0, 20), st.booleans()), min_size=2,
        max_size=12,
    )
)  # fmt: skip
def test_nothing_in_flight_changes_a_byte(engine: Engine, crowd: list[tuple[int, int | None, int, bool]]) -> None:
    requests = [
        SampleRequest(n, "images", "latentrs", seed, decode, offset=offset if seed else 0)
        for n, seed, offset, decode in crowd
    ]
    together = [future.result(timeout=60) for future in [engine.submit(request) for request in requests]]
    for request, answer in zip(requests, together, strict=True):
        if request.seed is not None:
            assert same(engine.submit(request).result(timeout=60), answer, slice(None))


def test_where_rows_mix_seeded_requests_share_batches(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start()
    assert engine.served("images").mixes
    calls = spoil(engine.model("images").generator, monkeypatch, lambda _: None)
    with engine._queue._changed:
        futures = [engine.submit(SampleRequest(1, "images", "latentrs", seed)) for seed in range(BATCH * BATCHES)]
    assert all(future.result(timeout=60).n == 1 for future in futures)
    assert len(calls) <= len(futures) / 2  # how many streams a turn advances is a matter of time
    assert set(calls) == {BATCH}


def test_the_self_check_sees_slots_and_neighbours_that_matter(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = start().model("images")
    latents = warmup.probe_latents(bundle, BATCH)
    assert warmup.rows_mix(bundle, latents)
    forward = bundle.generator.forward

    def by_slot(z: Any) -> Any:
        return forward(z) + 1e-6 * torch.arange(len(z)).view(-1, 1, 1, 1)

    def by_neighbours(z: Any) -> Any:
        return forward(z) + 1e-6 * z.sum()

    for spoilt in (by_slot, by_neighbours):
        monkeypatch.setattr(bundle.generator, "forward", spoilt)
        assert not warmup.rows_mix(bundle, latents)


def test_the_mode_and_the_batch_are_in_the_fingerprint(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {start().fingerprints["images"]}
    assert start().fingerprints["images"] in marks
    marks.add(start(batch_rows=BATCH // 2).fingerprints["images"])
    monkeypatch.setattr(warmup, "rows_mix", lambda *_: False)
    marks.add(start().fingerprints["images"])
    assert len(marks) == 3


@pytest.mark.parametrize(("n", "offset", "seed"), [(1, -1, 1), (1, 2**62, 1), (1, 5, None)])
def test_senseless_offsets_are_refused_at_the_door(start: Start, n: int, offset: int, seed: int | None) -> None:
    with pytest.raises(ValueError, match="offset"):
        start().submit(SampleRequest(n=n, seed=seed, offset=offset))


def test_seeded_requests_leave_the_pool_alone(start: Start, toys: None) -> None:
    engine = start(pool_rows=BATCH)
    draw(engine, 5, "moving", seed=1)
    assert engine.metrics.value("winnow_pool_requests_total", result="miss") == 0
    draw(engine, 5, "moving")
    assert engine.metrics.value("winnow_pool_requests_total", result="miss") == 1
