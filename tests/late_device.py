"""Doubles of a CUDA device that does its work late, as one does: there is none where tests run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

GPU = torch.device("cuda", 1)


class Late:
    """A stream: what is asked of it is done when it is waited for; ``recording``: it is written down instead."""

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
        """Both are one here."""


class There(torch.Tensor):
    """A tensor of the device: what is copied to it is asked of the stream."""

    stream = Late()

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return GPU

    def clone(self) -> There:  # type: ignore[override]
        return plain(self).clone().as_subclass(There)

    def copy_(self, other: torch.Tensor, non_blocking: bool = False) -> There:  # type: ignore[override]
        _copy(self, other, non_blocking)
        return self


class Locked(torch.Tensor):
    """Page-locked memory of the machine."""

    def copy_(self, other: torch.Tensor, non_blocking: bool = False) -> Locked:  # type: ignore[override]
        _copy(self, other, non_blocking)
        return self


class Graph:
    """What was asked while it recorded; asked again when it is replayed."""

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def replay(self) -> None:
        for step in self.work:
            There.stream.ask(step)


def install(patch: pytest.MonkeyPatch) -> Late:
    """The doubles in the place of torch's; the one stream there is."""
    stream = There.stream = Late()
    patch.setattr(torch, "empty_like", _locked)
    for name, value in {
        "current_stream": lambda device=None: stream,
        "Stream": lambda device=None: stream,
        "device": lambda device: nullcontext(),
        "stream": lambda other: nullcontext(),
        "CUDAGraph": Graph,
        "graph": _record,
    }.items():
        patch.setattr(torch.cuda, name, value)
    return stream


def there(*values: float) -> There:
    return torch.tensor(values).as_subclass(There)


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """It as it lies in memory."""
    return tensor.as_subclass(torch.Tensor)


def values_of(tensor: torch.Tensor) -> list[Any]:
    values: list[Any] = plain(tensor).tolist()
    return values


def _copy(ours: torch.Tensor, other: torch.Tensor, non_blocking: bool) -> None:
    assert non_blocking
    target, source = plain(ours), plain(other)
    There.stream.ask(lambda: target.copy_(source))


@contextmanager
def _record(graph: Graph, stream: Late) -> Iterator[None]:
    stream.synchronize()
    stream.recording = graph.work
    try:
        yield
    finally:
        stream.recording = None


def _locked(tensor: torch.Tensor, device: str, pin_memory: bool) -> Locked:
    assert device == "cpu" and pin_memory
    return torch.full(tensor.shape, 99, dtype=tensor.dtype).as_subclass(Locked)
