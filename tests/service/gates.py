"""A generator under control: counts its calls, holds each until it is let through, or raises."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch


class Gate:
    """Stands before a generator: counts its calls and holds each until it is let through."""

    def __init__(self, generator: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.reached, self.open = 0, threading.Semaphore(0), threading.Semaphore(0)
        forward = generator.forward

        def guarded(z: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.reached.release()
            assert self.open.acquire(timeout=60)
            samples: torch.Tensor = forward(z)
            return samples

        monkeypatch.setattr(generator, "forward", guarded)

    def let(self, calls: int) -> None:
        self.open.release(calls)

    def wait(self) -> None:
        assert self.reached.acquire(timeout=60)


def spoil(
    generator: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, spoilt: Callable[[torch.Tensor], Exception | None]
) -> list[int]:
    """``generator`` raises what ``spoilt`` makes of a call's latents, if anything. Rows of each call, as they come."""
    forward, calls = generator.forward, list[int]()

    def watched(z: torch.Tensor) -> torch.Tensor:
        calls.append(len(z))
        if (error := spoilt(z)) is not None:
            raise error
        samples: torch.Tensor = forward(z)
        return samples

    monkeypatch.setattr(generator, "forward", watched)
    return calls
