"""One request inside the engine: what was asked, and the half-filled state between admission and answer."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle
from sampling.draw import Cost
from service.engine.admission import Speed
from service.engine.memory import Lease
from service.engine.methods import Choice
from service.engine.outbox import Outbox
from service.engine.portions import Portion, Summary
from service.engine.returns import Returned, ReturnKey
from service.engine.rows import Pixels, Samples
from service.engine.scheduler import Lane, Ticket
from service.engine.served import Served
from service.engine.supply import SeededSupply, Take


@dataclass(eq=False, kw_only=True)
class Job(ABC):
    """A request that was admitted; only devices write to it. ``n`` rows of work, ``done`` of them done.

    ``kind``: what its ``speed`` is remembered under. ``spent``: device seconds so far. ``bytes``: what its answer takes
    while it is held whole, for which it has a ``lease``: its caller's (``kept``), who holds the answer longer than the
    engine does, or its own. ``deadline``: on perf_counter's clock. ``ordered``: its rows come out of one stream.
    """

    n: int
    served: Served
    kind: Hashable
    lane: Lane
    admitted: float
    bytes: int = 0
    lease: Lease | None = None
    deadline: float = inf
    # Whoever submits knows which kind of rows the job comes to.
    future: Future[Any] = field(default_factory=Future)
    outbox: Outbox | None = None
    ordered: bool = True
    started: bool = False
    over: bool = False
    done: int = 0
    decoded: int = 0
    spent: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        room = None if self.outbox is None else self.outbox.capacity
        self.ticket = Ticket(self.n, self.lane, room, self.ordered)
        self.speed = Speed(self.row_seconds)
        self.kept = self.lease is not None
        # Two devices may bring rows of one request at the same time.
        self._lock = threading.Lock()

    @property
    def row_seconds(self) -> float:
        """Device seconds a row, until its kind has been measured."""
        return self.served.decode_seconds

    @property
    def bundle(self) -> Bundle:
        return self.served.bundle

    @property
    def model(self) -> str:
        return self.served.bundle.name

    @property
    def missing(self) -> int:
        return self.n - self.done

    def charge(self, stage: str, seconds: float) -> None:
        """Seconds that the request waited for a stage, whoever else it was for."""
        with self._lock:
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def close(self) -> None:
        """Finished, failed or cancelled: rows that a device still brings are nobody's."""
        with self._lock:
            self.over = True

    def end(self, delivered: bool = False) -> None:
        """What was made is with the caller (``delivered``) or with nobody; a caller who keeps it keeps its lease, too.

        At once, and not when the job itself goes: the traceback of what it failed with may hold it for long.
        """
        if self.lease is not None and not (delivered and self.kept):
            self.lease.release()
        self._empty()

    @abstractmethod
    def _empty(self) -> None:
        """Let go of all arrays."""

    @abstractmethod
    def result(self) -> object:
        """What the caller gets, once nothing is missing."""


@dataclass(eq=False, kw_only=True)
class SampleJob(Job):
    """A request for samples; a seeded one has a ``supply`` of its own.

    ``slotted``: its rows keep their slots in batches of its own stream, because here the bits depend on them.
    """

    choice: Choice
    seed: int | None
    offset: int
    decode: bool
    slotted: bool = False
    supply: SeededSupply | None = None
    proposals: float = 0.0
    latents: NDArray[np.float32] | None = None
    weights: NDArray[np.float32] | None = None
    rows: Pixels | None = None

    @property
    def key(self) -> ReturnKey:
        return (self.bundle.digest, self.choice.method, self.choice.parameters)

    @property
    def row_seconds(self) -> float:
        """A method whose samples are made of several proposals decodes them all."""
        return self.served.decode_seconds * self.choice.sampler.unit

    def add(self, take: Take, rows: Pixels | None) -> bool:
        """Append one batch. False when its reader is gone, or it is over: the rows are nobody's."""
        weights = None if take.weights is None else take.weights.cpu().numpy()
        portion = Portion(take.latents.cpu().numpy(), weights, rows)
        with self._lock:
            if self.over:
                return False
            if self.outbox is None:
                self._lay_out(portion)
            # A slice would hold its whole batch, on CUDA in page-locked memory, until it is read.
            elif not self.outbox.put(replace(portion, rows=None if rows is None else rows.copy())):
                return False
            self.proposals += take.proposals
            self.done += portion.n
            return True

    def _lay_out(self, portion: Portion) -> None:
        """The whole result is laid out once, so nothing is copied twice."""
        n, at = self.n, slice(self.done, self.done + portion.n)
        weights, rows = portion.weights, portion.rows
        if self.latents is None:
            self.latents = np.empty((n, portion.latents.shape[1]), np.float32)
            self.weights = None if weights is None else np.empty(n, np.float32)
            self.rows = None if rows is None else np.empty((n, *rows.shape[1:]), rows.dtype)
        self.latents[at] = portion.latents
        if self.weights is not None and weights is not None:
            self.weights[at] = weights
        if self.rows is not None and rows is not None:
            self.rows[at] = rows
            self.decoded += len(rows)

    def returnable(self) -> Returned | None:
        """Decoded rows of an unseeded answer that nobody has seen, or None."""
        if self.seed is not None or self.latents is None or self.rows is None:
            return None
        made = slice(self.done)
        weights = None if self.weights is None else torch.from_numpy(self.weights[made])
        take = Take(torch.from_numpy(self.latents[made]), weights, self.proposals)
        return Returned(self.model, take, self.rows[made])

    def cost(self) -> Cost:
        """Exact for a seeded request, this request's share of shared blocks otherwise."""
        return Cost(max(round(self.proposals), self.n), self.n) if self.supply is None else self.supply.cost

    def _empty(self) -> None:
        self.latents = self.weights = self.rows = self.supply = None

    def result(self) -> Samples | Summary:
        cost = self.cost()
        if self.outbox is not None:
            return Summary(cost.proposals, cost.acceptance_rate, self.stages)
        assert self.latents is not None
        return Samples(
            model=self.model,
            method=self.choice.method,
            seed=self.seed,
            offset=self.offset,
            latents=self.latents,
            weights=self.weights,
            rows=self.rows,
            proposals=cost.proposals,
            acceptance_rate=cost.acceptance_rate,
            expected_acceptance=self.choice.sampler.expected_acceptance,
            fingerprint=self.served.fingerprint,
            stages=self.stages,
        )
