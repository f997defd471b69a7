"""What only a CUDA device has, with doubles that do its work late, as it would: there is none where tests run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from service.engine import cuda
from service.engine.cuda import Recorded, fetched, own_stream

GPU = torch.device("cuda", 1)


class Late:
    """A stream: what is asked of it is done when it is waited for. ``recording``: it is written down instead."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []
        self.recording: list[Callable[[], object]] | None = None

    def ask(self, work: Callable[[], object]) -> None:
        (self.waiting if self.recording is None else self.recording).append(work)

    def synchronize(self) -> None:
        assert self.recording is None, "a recording must not wait"
        while self.waiting:
            self.waiting.pop(0)()

    def wait_stream(self, other: Late) -> None:
        self.waiting = [*other.waiting, *self.waiting]
        other.waiting = []


class There(torch.Tensor):
    """A tensor of the device: whatever is done to it is asked of the stream."""

    stream = Late()

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    def clone(self) -> There:  # type: ignore[override]
        return torch.Tensor.clone(self.as_subclass(torch.Tensor)).as_subclass(There)

    def copy_(self, other: torch.Tensor, non_blocking: bool = False) -> There:  # type: ignore[override]
        assert non_blocking
        plain, source = self.as_subclass(torch.Tensor), other.as_subclass(torch.Tensor)
        There.stream.ask(lambda: plain.copy_(source))
        return self


class Locked(torch.Tensor):
    """Page-locked memory of the machine."""

    def copy_(self, other: torch.Tensor, non_blocking: bool = False) -> Locked:  # type: ignore[override]
        assert non_blocking
        plain, source = self.as_subclass(torch.Tensor), other.as_subclass(torch.Tensor)
        There.stream.ask(lambda: plain.copy_(source))
        return self


class Graph:
    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def replay(self) -> None:
        for step in self.work:
            There.stream.ask(step)


@contextmanager
def record(graph: Graph, stream: Late, capture_error_mode: str) -> Iterator[None]:
    assert capture_error_mode == "thread_local" and stream is not None
    There.stream.recording = graph.work
    yield
    There.stream.recording = None


def locked(tensor: torch.Tensor, device: str, pin_memory: bool) -> Locked:
    assert device == "cpu" and pin_memory
    return torch.full(tensor.shape, 99, dtype=tensor.dtype).as_subclass(Locked)


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> Late:
    stream = There.stream = Late()
    monkeypatch.setattr(cuda.torch, "empty_like", locked)
    for name, value in {
        "current_stream": lambda device=None: stream,
        "Stream": lambda device=None: Late(),
        "device": lambda device: nullcontext(),
        "stream": lambda other: nullcontext(),
        "CUDAGraph": Graph,
        "graph": record,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return stream


def there(*values: float) -> There:
    return torch.tensor(values).as_subclass(There)


def here(tensor: torch.Tensor) -> list[Any]:
    values: list[Any] = tensor.as_subclass(torch.Tensor).tolist()
    return values


def test_on_a_cpu_nothing_is_fetched() -> None:
    tensors = (torch.ones(2), torch.zeros(1))
    assert fetched(tensors) is tensors


def test_what_is_fetched_is_whole_when_it_is_handed_out(late: Late) -> None:
    first, second = there(1, 2), there(3)
    late.ask(lambda: first.as_subclass(torch.Tensor).add_(10))  # the device is not done with it yet
    assert [here(each) for each in fetched((first, second))] == [[11.0, 12.0], [3.0]]


def doubled(latents: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """A network of that device: twice its input, in memory that a recording keeps."""
    source, made = latents.as_subclass(torch.Tensor), torch.zeros(latents.shape)
    There.stream.ask(lambda: made.copy_(2 * source))
    return (made.as_subclass(There),)


def test_a_recording_goes_by_the_values_it_is_given() -> None:
    run = Recorded(doubled, there(1, 2))
    answers = [run(there(*values)) for values in ((5, 6), (7, 8), (5, 6))]
    assert [here(answer) for (answer,) in answers] == [[10.0, 12.0], [14.0, 16.0], [10.0, 12.0]]


def test_an_answer_stays_as_it_is_when_the_next_is_made() -> None:
    run = Recorded(doubled, there(1, 2))
    (first,) = run(there(1, 1))
    before = first.as_subclass(torch.Tensor).numpy().copy()
    run(there(9, 9))
    np.testing.assert_array_equal(first.as_subclass(torch.Tensor).numpy(), before)


def test_a_network_that_waits_for_the_device_cannot_be_recorded(late: Late) -> None:
    def looks(latents: torch.Tensor) -> tuple[torch.Tensor, ...]:
        late.synchronize()
        return doubled(latents)

    with pytest.raises(AssertionError, match="must not wait"):
        Recorded(looks, there(1, 2))


def test_a_loop_has_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "set_stream", chosen.append)
    own_stream(torch.device("cpu"))
    assert not chosen
    own_stream(GPU)
    assert chosen[0] == GPU and isinstance(chosen[1], Late)
