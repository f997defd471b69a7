"""Injected faults: the documented status, nobody else harmed, ready at once, and the next request is served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import pytest
import torch
from books import books_balance
from gates import Gate
from test_http_problems import problem
from tiny_bundles import BATCH

from service.engine.encoders.formats import FORMATS
from service.engine.evaluations import LatentJob

Serve = Callable[..., Any]
FAULTS = {
    "exception": RuntimeError("shapes cannot be multiplied\nand more that is nobody's business"),
    "out of memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "host out of memory": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    "no message": KeyError(),
}
SAID = {fault: (503, "out_of_memory") if "memory" in fault else (500, "generation_failed") for fault in FAULTS}


class Fault:
    """Every call of a generator raises while ``error`` is set; ``calls`` counts them all."""

    def __init__(self, generator: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.poisoned, self.calls = False, 0
        forward = generator.forward

        def faulty(z: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.error is not None:
                raise self.error
            samples: torch.Tensor = forward(z)
            return samples * float("nan") if self.poisoned else samples

        monkeypatch.setattr(generator, "forward", faulty)


def ready(api: Any) -> bool:
    return bool(api.get("/readyz").status_code == 200)


@pytest.mark.parametrize("seed", ["", "&seed=3"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_generator_that_raises_is_a_problem_and_then_forgotten(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, fault: str, seed: str
) -> None:
    api = serve()
    target = f"/sample?n={3 * BATCH}&format=npz{seed}"
    before = api.post(target)
    generator = Fault(api.engine.model("images").generator, monkeypatch)
    generator.error = FAULTS[fault]
    answer = api.post(target)
    assert (answer.status_code, answer.json()["code"]) == SAID[fault]
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nobody's business" not in answer.text and "Traceback" not in answer.text
    assert generator.calls > 0
    assert ready(api)
    generator.error = None
    after = api.post(target)
    assert after.status_code == 200
    assert len(after.content) == len(before.content)
    assert (after.content == before.content) == bool(seed)
    assert books_balance(api.engine)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_model_is_none_of_another_or_of_latents(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    api = serve()
    Fault(api.engine.model("images").generator, monkeypatch).error = FAULTS[fault]
    calls = [
        ("POST", f"/sample?n={5 * BATCH}&format=npz"),
        ("POST", f"/sample?n={5 * BATCH}&format=npz&model=points"),
        ("POST", "/sample?n=4&format=json"),
        ("GET", "/sample?n=4&model=points&seed=1&format=npz"),
    ]
    assert [answer.status_code for answer in api.together(calls)] == [SAID[fault][0], 200, 200, 200]
    assert ready(api)
    assert books_balance(api.engine)


@pytest.mark.parametrize("seed", ["", "&seed=3"])
def test_numbers_that_are_none_are_never_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch, seed: str) -> None:
    api = serve()
    generator = Fault(api.engine.model("images").generator, monkeypatch)
    generator.poisoned = True
    for fmt in ("png", "npz"):
        answer = api.post(f"/sample?n=4&format={fmt}{seed}")
        assert (answer.status_code, answer.json()["code"]) == (500, "generation_failed")
        assert "NaN" in answer.json()["detail"]
    assert ready(api)
    generator.poisoned = False
    assert api.post(f"/sample?n=4&format=npz{seed}").status_code == 200
    assert books_balance(api.engine)


def no_memory(*_: object) -> bytes:
    raise MemoryError("Unable to allocate 2.00 GiB for an array")


def refused_for_a_second(api: Any, answer: httpx.Response) -> bool:
    said = problem(answer)
    assert (answer.status_code, said["code"], answer.headers["retry-after"]) == (503, "out_of_memory", "1")
    assert "a format that streams" in said["detail"] and "allocate" not in answer.text
    assert api.metric("winnow_oom_total") == 0, "the device's batches are not to blame"
    assert api.engine._queue.memory.taken == 0
    return ready(api) and books_balance(api.engine)


@pytest.mark.parametrize("path", ["/decode?format=npz", "/score", "/refine"])
def test_results_that_cannot_be_put_together_for_lack_of_memory_say_so(
    api: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    assert api.post("/sample").status_code == 200
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(LatentJob, "result", no_memory)
        assert refused_for_a_second(api, api.post(path, json={"latents": [[0.5] * 16] * 2}))
    assert api.post(path, json={"latents": [[0.5] * 16] * 2}).status_code == 200


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_answer_that_cannot_be_written_for_lack_of_memory_says_so(
    api: Any, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    target = f"/sample?n=3&images=true&format={fmt}"
    with monkeypatch.context() as meanwhile:
        if (writer := FORMATS[fmt].writer) is None:
            meanwhile.setitem(FORMATS, fmt, replace(FORMATS[fmt], encode=no_memory))
        else:
            meanwhile.setattr(writer, "add", no_memory)
        assert refused_for_a_second(api, api.post(target))
    assert api.post(target).status_code == 200


@pytest.mark.parametrize("fmt", ["npz", "npy"])
def test_a_deadline_is_kept_by_whoever_waits_for_a_device_that_does_not_come_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    api = serve()
    gate = Gate(api.engine.model("images").generator, monkeypatch)
    answer = api.post(f"/sample?n={3 * BATCH}&format={fmt}&timeout=0.2")
    assert (answer.status_code, problem(answer)["code"]) == (504, "deadline_exceeded")
    with monkeypatch.context() as later:
        later.setattr(api.engine._loops[0], "turn_started", 0.0)
        answer = api.post(f"/sample?n=1&format={fmt}")
        assert (answer.status_code, problem(answer)["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "30" and "Nothing gets on" in answer.text
    gate.let(1_000)
    assert api.post(f"/sample?n=3&format={fmt}").status_code == 200
    assert books_balance(api.engine)


def test_many_faulty_requests_leave_nothing_behind(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than may wait at once: a place that a failed request kept would be missing in the end."""
    api = serve(queue_requests=4)
    generator = Fault(api.engine.model("images").generator, monkeypatch)
    generator.error = FAULTS["exception"]
    assert {api.post(f"/sample?n={n}&format=npz").status_code for n in range(1, 13)} == {500}
    generator.error = None
    assert api.post("/sample?n=20&format=npz").status_code == 200
    assert api.metric("winnow_queue_rows") == 0
    assert api.metric("winnow_requests_total", method="latentrs", outcome="failed") == 12
    assert books_balance(api.engine)


def test_a_bundle_damaged_before_the_start_is_refused_and_the_others_are_served(
    serve: Serve, bundles: Path, tmp_path: Path
) -> None:
    root = copytree(bundles, tmp_path / "bundles")
    (root / "points" / "generator.safetensors").write_bytes(b"damaged")
    (root / "plain" / "bundle.json").write_text('{"name": ')
    api = serve(root)
    for name in ("points", "plain"):
        answer = api.post(f"/sample?n=1&model={name}")
        assert (answer.status_code, answer.json()["code"]) == (503, "model_broken")
    assert api.post("/sample?n=1&model=images").status_code == 200
    assert ready(api)


def test_a_bundle_damaged_after_the_start_changes_no_byte(serve: Serve, bundles: Path, tmp_path: Path) -> None:
    root = copytree(bundles, tmp_path / "bundles")
    api = serve(root)
    target = "/sample?n=20&seed=1&format=npz"
    before = api.get(target)
    for path in (root / "images").iterdir():
        path.write_bytes(b"damaged")
    after = api.get(target)
    assert (after.status_code, after.content) == (200, before.content)
    assert ready(api)
