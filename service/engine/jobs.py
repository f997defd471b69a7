"""One request inside the engine: what was asked, what comes back, and the half-filled state between."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sampling.draw import Cost
from service.engine.catalog import Model
from service.engine.supply import Supply, Take


@dataclass(frozen=True)
class SampleRequest:
    """``n`` samples; without ``decode`` only latents and weights, which costs no generator row."""

    n: int
    model: str | None = None
    method: str | None = None
    seed: int | None = None
    decode: bool = True


@dataclass(frozen=True)
class Samples:
    """Latents float32 [n, d], weights float32 [n] (None without a w), rows (None if not decoded).

    ``rows`` are images uint8 [n, H, W, C] or points float32 [n, D]. ``proposals`` is what these samples cost:
    exact for a seeded request, this request's share of shared blocks otherwise. ``stages``: seconds a stage.
    """

    model: str
    method: str
    seed: int | None
    latents: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    rows: NDArray[np.uint8] | NDArray[np.float32] | None
    proposals: int
    acceptance_rate: float
    fingerprint: str
    stages: dict[str, float]

    @property
    def n(self) -> int:
        return len(self.latents)


@dataclass(eq=False)
class Job:
    """A request that was admitted; only the device loop writes to it."""

    request: SampleRequest
    model: Model
    method: str
    admitted: float
    future: Future[Samples] = field(default_factory=Future)
    supply: Supply | None = None
    started: bool = False
    done: int = 0
    decoded: int = 0
    proposals: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    latents: NDArray[np.float32] | None = None
    weights: NDArray[np.float32] | None = None
    rows: NDArray[np.uint8] | NDArray[np.float32] | None = None

    @property
    def missing(self) -> int:
        return self.request.n - self.done

    def charge(self, stage: str, seconds: float) -> None:
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def add(self, take: Take, rows: NDArray[np.uint8] | NDArray[np.float32] | None) -> None:
        """Append one batch; the whole result is laid out once, so nothing is copied twice."""
        n, end = self.request.n, self.done + len(take.latents)
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
        """What the caller gets, once nothing is missing."""
        assert self.latents is not None
        seeded = self.supply is not None
        shared = Cost(max(round(self.proposals), self.request.n), self.request.n)
        cost = shared if self.supply is None else self.supply.cost
        return Samples(
            model=self.model.name,
            method=self.method,
            seed=self.request.seed if seeded else None,
            latents=self.latents,
            weights=self.weights,
            rows=self.rows,
            proposals=cost.proposals,
            acceptance_rate=cost.acceptance_rate,
            fingerprint=fingerprint,
            stages=self.stages,
        )
