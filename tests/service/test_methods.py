"""Every method through the engine: its parameters, its decoded rows, its neighbours in a turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from books import books_balance
from draws import Counter, Start, ask, decoded, draw, generate, wasted
from tiny_bundles import BATCH, BLOCK
from toy_methods import MOVING, PICKY

from models.bundle import Bundle
from sampling.method import Method
from sampling.methods import METHODS
from service.engine.errors import GenerationFailed, InvalidParameters, MethodUnavailable, Stalled
from service.engine.fingerprint import code_digest
from service.engine.jobs import SampleJob
from service.engine.methods import validate
from service.engine.supplies import MAX_SUPPLIES

pytestmark = pytest.mark.usefixtures("toys")


def test_parameters_reach_the_method_as_values_or_as_text(start: Start) -> None:
    engine = start()
    still = draw(engine, 5, "moving", seed=1, steps=0).latents
    for given in ({"steps": 3, "step_size": 0.25}, {"steps": "3", "step_size": "0.25"}):
        assert np.allclose(draw(engine, 5, "moving", seed=1, **given).latents, still + 0.75)
    assert np.allclose(draw(engine, 5, "moving", seed=1).latents, still + 0.5)


def test_unseeded_requests_with_different_parameters_never_share_a_supply(start: Start) -> None:
    engine = start()
    futures = [ask(engine, 200, "moving", decode=False, step_size=size, steps=10) for size in (-5, 5, -5, 5)]
    means = [float(future.result(timeout=60).latents.mean()) for future in futures]
    assert np.allclose(means, [-50, 50, -50, 50], atol=1)


@pytest.mark.parametrize("seed", [None, 3])
def test_what_a_method_decoded_is_never_decoded_twice(
    start: Start, monkeypatch: pytest.MonkeyPatch, seed: int | None
) -> None:
    engine = start()
    counter = Counter(engine, monkeypatch)
    samples = draw(engine, 50, "picky", seed)
    evaluated = engine.metrics.value("winnow_proposals_total", model="points", method="picky")
    assert counter.rows == evaluated == decoded(engine)
    assert samples.rows is not None
    assert np.allclose(samples.rows, generate(engine, samples), atol=1e-6)


def test_a_party_of_methods_that_decode_and_methods_that_do_not_gives_each_its_own_rows(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    counter = Counter(engine, monkeypatch)
    futures = [ask(engine, 30, method) for method in ("prior", "picky", "moving", "picky", "latentrs")]
    for future in futures:
        samples = future.result(timeout=60)
        assert np.allclose(samples.rows, generate(engine, samples), atol=1e-6)
        counter.rows -= 30  # what this check put through
    assert counter.rows == decoded(engine)
    assert books_balance(engine)


@pytest.mark.parametrize("decode", [True, False])
def test_a_short_seeded_draw_of_a_decoding_method_begins_every_longer_one(start: Start, decode: bool) -> None:
    engine = start()
    longest = draw(engine, 60, "picky", 9, decode)
    for n in (1, BATCH - 1, BATCH, BATCH + 1, 40):
        shorter = draw(engine, n, "picky", 9, decode)
        assert np.array_equal(shorter.latents, longest.latents[:n])
        assert (shorter.rows is None) == (not decode)
        assert not decode or np.array_equal(shorter.rows, longest.rows[:n])


def test_a_request_whose_parameters_break_a_method_fails_alone(start: Start) -> None:
    engine = start()
    with engine._queue._changed:
        futures = [ask(engine, 3, "moving", step_size=size) for size in (1, -10, 2)]
    assert futures[0].result(timeout=60).n == futures[2].result(timeout=60).n == 3
    with pytest.raises(GenerationFailed, match=r"fell off the edge$"):
        futures[1].result(timeout=60)


@pytest.mark.parametrize("seed", [None, 1])
def test_a_result_that_cannot_be_put_together_fails_its_own_request_only(
    start: Start, monkeypatch: pytest.MonkeyPatch, seed: int | None
) -> None:
    engine, whole = start(), SampleJob.result

    def result(job: SampleJob) -> object:
        if job.n == 3:
            raise ValueError("no such shape\nand more")
        return whole(job)

    monkeypatch.setattr(SampleJob, "result", result)
    with engine._queue._changed:
        futures = [ask(engine, n, "picky", seed) for n in (4, 3, 5)]
    with pytest.raises(GenerationFailed, match=r"points failed on this batch: no such shape$"):
        futures[1].result(timeout=60)
    assert [futures[i].result(timeout=60).n for i in (0, 2)] == [4, 5]
    assert draw(engine, 2, "prior").n == 2
    assert engine.unready() is None
    assert wasted(engine, "failed") == 3
    assert engine.metrics.value("winnow_samples_total", model="points", method="picky") == 9
    assert engine.metrics.value("winnow_queue_rows") == 0
    assert books_balance(engine)


def test_a_stalled_method_stalls_only_the_requests_with_its_parameters(start: Start) -> None:
    engine = start(max_proposals_per_sample=20)
    with engine._queue._changed:
        futures = [ask(engine, n, "picky", acceptance=rate) for n, rate in ((30, 0.5), (300, 0.02), (1_000, 0.02))]
    assert futures[0].result(timeout=60).n == 30
    for future in futures[1:]:
        with pytest.raises(Stalled, match=r"picky accepted \d+ of 2\d\d\d proposals with bundle points, a rate"):
            future.result(timeout=60)
    assert books_balance(engine)


@pytest.mark.parametrize(("allowed", "passes"), [(20, False), (50, True)])
def test_the_cap_on_proposals_is_a_setting(start: Start, allowed: int, passes: bool) -> None:
    engine = start(max_proposals_per_sample=allowed)
    asked = ask(engine, 170, "picky", acceptance=0.03)
    if passes:
        assert asked.result(timeout=60).n == 170
        return
    with pytest.raises(Stalled, match=r"one in 20 must pass \(limits.max_proposals_per_sample\): use method=prior"):
        asked.result(timeout=60)


def test_supplies_are_few_and_what_a_dropped_one_had_decoded_is_waste(start: Start) -> None:
    engine = start()
    for i in range(MAX_SUPPLIES + 3):
        draw(engine, 1, "picky", acceptance=1 - i / 100)
    supplies = engine._turns[0].supplies._supplies
    assert len(supplies) == MAX_SUPPLIES
    assert wasted(engine, "evicted") == pytest.approx(3 * (BATCH - 1), abs=3)
    assert books_balance(engine)


def test_the_supply_that_was_used_last_stays(start: Start) -> None:
    engine = start()
    for i in range(MAX_SUPPLIES + 3):
        draw(engine, 1, "moving", step_size=i / 100)
        draw(engine, 1, "prior")
    proposals = engine.metrics.value("winnow_proposals_total", model="points", method="prior")
    assert proposals == BLOCK


def test_a_method_is_bound_once_for_all_requests_alike(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, bound = start(), []

    def bind(*arguments: Any) -> Any:
        bound.append(arguments[1])
        return MOVING.bind(*arguments)

    monkeypatch.setitem(METHODS, "moving", type(MOVING)("moving", "", bind, parameters=MOVING.parameters))
    for seed in (None, 1, None, 2):
        draw(engine, 3, "moving", seed, steps=2)
    draw(engine, 3, "moving", steps=3)
    assert [parameters.steps for parameters in bound] == [2, 2, 3]  # seeded streams have blocks of their own size


def test_a_request_that_names_no_method_asks_none_but_the_default_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, asked, missing = start(), list[str](), Method.missing

    def counted(method: Method, bundle: Bundle) -> list[str]:
        asked.append(method.name)
        return missing(method, bundle)

    monkeypatch.setattr(Method, "missing", counted)
    assert [engine.resolve(model, None).method for model in ("points", "plain")] == ["latentrs", "prior"]
    assert set(asked) <= {"latentrs", "prior"}


@pytest.mark.parametrize(
    ("method", "parameters", "error", "says"),
    [
        (
            "picky",
            {"acceptance": 0.001},
            InvalidParameters,
            "acceptance: Method picky with bundle points: acceptance must",
        ),
        ("picky", {"acceptance": 2}, InvalidParameters, "acceptance: picky: Input should be less than or equal to 1"),
        ("moving", {"acceptance": 1}, InvalidParameters, "moving does not take it; it takes steps, step_size"),
        ("prior", {"steps": 1}, InvalidParameters, "prior does not take it; it takes no parameters"),
        ("wanting", {}, MethodUnavailable, "needs a network 'classifier'"),
    ],
)
def test_what_cannot_be_met_is_refused_at_the_door(
    start: Start, method: str, parameters: dict[str, Any], error: type[Exception], says: str
) -> None:
    engine = start()
    with pytest.raises(error, match=says):
        ask(engine, 1, method, **parameters)
    assert engine.metrics.value("winnow_queue_rows") == 0


def test_a_value_that_no_part_of_a_union_takes_is_told_what_each_would() -> None:
    says = r"^shift: drs: Input should be 'none', or: Input should be less than or equal to 99, not '100'\.$"
    with pytest.raises(InvalidParameters, match=says):
        validate(METHODS["drs"].parameters, "drs", {"shift": "100"})


def test_a_method_that_returns_nan_is_an_error_even_when_nothing_is_decoded(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    monkeypatch.setattr(
        type(engine.model("points").prior), "draw", lambda prior, numbers: torch.full((numbers.rows, 2), torch.nan)
    )
    with pytest.raises(GenerationFailed, match="NaN or infinite latents"):
        draw(engine, 1, "moving", decode=False)


def test_a_start_runs_no_method_that_decodes(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*arguments: Any) -> Any:
        raise AssertionError("bound at start")

    monkeypatch.setitem(METHODS, "picky", type(PICKY)("picky", "", bind, parameters=PICKY.parameters))
    start()


def test_the_code_digest_follows_every_byte_and_every_name(tmp_path: Path) -> None:
    file = tmp_path / "sampling" / "deep" / "a.py"
    file.parent.mkdir(parents=True)
    file.write_text("x = 1\n")
    marks = [code_digest(tmp_path, ("sampling",))]
    assert marks == [code_digest(tmp_path, ("sampling",))]
    file.write_text("x = 2\n")
    marks.append(code_digest(tmp_path, ("sampling",)))
    file.rename(file.with_name("b.py"))
    marks.append(code_digest(tmp_path, ("sampling",)))
    (tmp_path / "sampling" / "c.py").touch()
    marks.append(code_digest(tmp_path, ("sampling",)))
    assert len(set(marks)) == 4


def test_the_fingerprint_covers_the_files_of_every_method(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    before = start().fingerprints["points"]
    monkeypatch.setattr("service.engine.fingerprint.code_digest", lambda: "another")
    assert start().fingerprints["points"] != before
    import sampling
    from service.engine.fingerprint import CODE_PACKAGES, CODE_ROOT

    assert Path(sampling.__file__ or "").parent in [CODE_ROOT / package for package in CODE_PACKAGES]
