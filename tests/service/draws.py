"""Requests to an engine with toy methods, and what its counters and its generator say."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import torch

from service.engine.engine import Engine
from service.engine.rows import SampleRequest, Samples

Start = Callable[..., Engine]


def ask(
    engine: Engine, n: int, method: str, seed: int | None = None, decode: bool = True, **parameters: Any
) -> Future[Samples]:
    return engine.submit(SampleRequest(n, "points", method, seed, decode, parameters))


def draw(
    engine: Engine, n: int, method: str, seed: int | None = None, decode: bool = True, **parameters: Any
) -> Samples:
    return ask(engine, n, method, seed, decode, **parameters).result(timeout=60)


def wasted(engine: Engine, reason: str) -> float:
    return engine.metrics.value("winnow_rows_wasted_total", reason=reason)


def decoded(engine: Engine) -> float:
    return engine.metrics.value("winnow_decoded_rows_total", model="points")


def generate(engine: Engine, samples: Samples) -> np.ndarray:
    rows: torch.Tensor = engine.model("points").generator(torch.from_numpy(samples.latents))
    return rows.numpy()


class Counter:
    """Counts the rows that go through a generator."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        generator, self.rows = engine.model("points").generator, 0
        forward = generator.forward

        def counting(z: torch.Tensor) -> torch.Tensor:
            self.rows += len(z)
            samples: torch.Tensor = forward(z)
            return samples

        monkeypatch.setattr(generator, "forward", counting)
