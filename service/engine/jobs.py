"""One request inside the engine: what was asked, what comes back, and the half-filled state between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from sampling.draw import Cost
from service.engine.methods import Choice
from service.engine.supply import Supply, SupplyKey, Take

Pixels = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True)
class SampleRequest:
    """``n`` samples; without ``decode`` only latents and weights, which most methods do without a generator row.

    ``parameters``: the method's own, by name, as values or as text; what is missing has the method's default.
    """

    n: int
    model: str | None = None
    method: str | None = None
    seed: int | None = None
    decode: bool = True
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Latents float32 [n, ...], weights float32 [n, ...] (None without a w), rows (None if not decoded).

    ``rows`` are images uint8 [n, H, W, C] or points float32 [n, D]. ``stages``: seconds a stage.
    """

    model: str
    latents: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    rows: Pixels | None
    fingerprint: str
    stages: dict[str, float]

    @property
    def n(self) -> int:
        return len(self.latents)

    def facts(self) -> dict[str, object]:
        """What a document says of them before the numbers."""
        return {"model": self.model, "n": self.n, "fingerprint": self.fingerprint}


@dataclass(frozen=True)
class Samples(Rows):
    """Rows that a method chose. ``proposals`` is what they cost: exact for a seeded request, this request's share of
    shared blocks otherwise. ``expected_acceptance``: accepted over proposals by the bundle's calibration, or None."""

    method: str
    seed: int | None
    proposals: int
    acceptance_rate: float
    expected_acceptance: float | None

    def facts(self) -> dict[str, object]:
        return {
            "model": self.model,
            "method": self.method,
            "n": self.n,
            "seed": self.seed,
            "proposals": self.proposals,
            "acceptance_rate": self.acceptance_rate,
            "fingerprint": self.fingerprint,
        }


@dataclass(eq=False, kw_only=True)
class Job(ABC):
    """A request that was admitted; only the device loop writes to it. ``n`` rows of work, ``done`` of them done."""

    n: int
    model: str
    bundle: Bundle
    admitted: float
    # Whoever submits knows which kind of rows the job comes to.
    future: Future[Any] = field(default_factory=Future)
    started: bool = False
    done: int = 0
    decoded: int = 0
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        return self.n - self.done

    def charge(self, stage: str, seconds: float) -> None:
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    @abstractmethod
    def result(self, fingerprint: str) -> Rows:
        """What the caller gets, once nothing is missing."""


@dataclass(eq=False, kw_only=True)
class SampleJob(Job):
    """A request for samples; a seeded one has a ``supply`` of its own."""

    choice: Choice
    seed: int | None
    decode: bool
    supply: Supply | None = None
    proposals: float = 0.0
    latents: NDArray[np.float32] | None = None
    weights: NDArray[np.float32] | None = None
    rows: Pixels | None = None

    @property
    def key(self) -> SupplyKey:
        return (self.model, self.choice.method, self.choice.parameters)

    def add(self, take: Take, rows: Pixels | None) -> None:
        """Append one batch; the whole result is laid out once, so nothing is copied twice."""
        n, end = self.n, self.done + len(take.latents)
        if self.latents is None:
            self.latents = np.empty((n, take.latents.shape[1]), np.float32)
            self.weights = None if take.weights is None else np.empty(n, np.float32)
            self.rows = None if rows is None else np.empty((n, *rows.shape[1:]), rows.dtype)
        self.latents[self.done : end] = take.latents.numpy()
        if self.weights is not None and take.weights is not None:
            self.weights[self.done : end] = take.weights.numpy()
        if self.rows is not None and rows is not None:
            self.rows[self.done : end] = rows
            self.decoded += len(rows)
        self.proposals += take.proposals
        self.done = end

    def result(self, fingerprint: str) -> Samples:
        assert self.latents is not None
        shared = Cost(max(round(self.proposals), self.n), self.n)
        cost = shared if self.supply is None else self.supply.cost
        return Samples(
            model=self.model,
            method=self.choice.method,
            seed=self.seed,
            latents=self.latents,
            weights=self.weights,
            rows=self.rows,
            proposals=cost.proposals,
            acceptance_rate=cost.acceptance_rate,
            expected_acceptance=self.choice.sampler.expected_acceptance,
            fingerprint=fingerprint,
            stages=self.stages,
        )
