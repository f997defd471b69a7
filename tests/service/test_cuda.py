"""What only a CUDA device has, with doubles of one that does its work late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from draws import ask, draw

from service.engine import engine as engines
from service.engine import loop
from service.engine.cuda import fetched, lost, own_stream
from service.engine.engine import Engine
from service.engine.errors import DeviceStopped, GenerationFailed
from tests.late_device import GPU, install, plain, there, values_of

Start = Callable[..., Engine]


def test_on_a_cpu_nothing_is_fetched() -> None:
    tensors = (torch.ones(2), torch.zeros(1))
    assert fetched(tensors) is tensors


def test_what_is_fetched_is_whole_when_it_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    late = install(monkeypatch)
    first, second = there(1, 2), there(3)
    late.ask(lambda: plain(first).add_(10))  # the device is not done with it yet
    assert [values_of(each) for each in fetched((first, second))] == [[11.0, 12.0], [3.0]]


def test_a_loop_has_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Any] = []
    late = install(monkeypatch)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "set_stream", chosen.append)
    own_stream(torch.device("cpu"))
    assert not chosen
    own_stream(GPU)
    assert chosen == [GPU, late]


def test_each_loop_asks_for_its_stream_once_and_bits_are_settled_before(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(engines, "keep_bits", lambda devices: asked.append(f"bits of {len(devices)}"))
    monkeypatch.setattr(engines, "own_stream", lambda device: asked.append(f"stream on {device}"))
    running = start(loops=2)
    assert asked[:2] == ["bits of 2", "stream on cpu"]
    draw(running, 40, "prior")
    assert running.close(timeout=60)
    assert asked == ["bits of 2", "stream on cpu", "stream on cpu"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, False),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory."), False),
    ],
)
def test_a_device_is_lost_when_nothing_runs_on_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, expected: bool
) -> None:
    def zeros(rows: int, device: torch.device) -> torch.Tensor:
        assert device == GPU
        if error is not None:
            raise error
        return torch.tensor([0.0])

    monkeypatch.setattr(torch, "zeros", zeros)
    assert lost(GPU) == expected
    assert not lost(torch.device("cpu"))


@pytest.mark.parametrize("gone", [True, False])
def test_a_failure_ends_the_loop_where_the_device_is_lost(
    start: Start, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    def fails(z: torch.Tensor) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    running = start()
    monkeypatch.setattr(loop, "lost", lambda device: gone)
    with monkeypatch.context() as broken:
        broken.setattr(running.model("points").generator, "forward", fails)
        with pytest.raises(GenerationFailed, match="illegal memory access"):
            ask(running, 1, "prior").result(timeout=30)
    if not gone:
        assert draw(running, 1, "prior").n == 1 and running.dead() is None
        return
    for thread in running._threads:
        thread.join(timeout=30)
    assert running.dead() == "the loop of device cpu has stopped"
    with pytest.raises(DeviceStopped):
        ask(running, 1, "prior")
