"""A request as the job that the queue takes: checked, with its lane, its deadline, and what its answer holds."""

from __future__ import annotations

from math import inf
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from sampling.seeded import MAX_INDEX
from sampling.streams import MAX_SEED
from service.engine.evaluations import LatentJob, Work
from service.engine.jobs import SampleJob
from service.engine.memory import Lease
from service.engine.methods import Choice
from service.engine.outbox import Outbox
from service.engine.portions import Facts
from service.engine.rows import SampleRequest
from service.engine.scheduler import Lane
from service.engine.served import Served

LONGEST_TIMEOUT = 366 * 86_400.0
# A stream's outbox holds so many batches at least: one on its way out, one ready, one being made, one to spare.
OUTBOX_BATCHES = 4


def sample_job(request: SampleRequest, choice: Choice, outbox_bytes: int | None, lease: Lease | None) -> SampleJob:
    """``outbox_bytes``: of an answer that streams, None for one that is held whole, with a ``lease`` of its caller's.

    ``request`` is checked. Raises ValueError for its timeout.
    """
    served, seeded, now = choice.served, request.seed is not None, perf_counter()
    row = served.latent_bytes + (served.row_bytes if request.decode else 0)
    shared = not seeded or (request.decode and served.mixes)
    lane = served.lane(request.decode)
    outbox, held = None, 0
    if outbox_bytes is None:
        held = _held(request.n, lane.capacity, row)
    else:
        outbox = Outbox(max(OUTBOX_BATCHES * lane.capacity, outbox_bytes // row))
    job = SampleJob(
        n=request.n, served=served, choice=choice, seed=request.seed, offset=request.offset, decode=request.decode,
        kind=(served.bundle.digest, choice.method, choice.parameters, request.decode),
        slotted=seeded and request.decode and not served.mixes, ordered=seeded,
        lane=lane if shared else Lane(object(), lane.capacity), outbox=outbox, bytes=held, lease=lease,
        admitted=now, deadline=now + _seconds(request.timeout),
    )  # fmt: skip
    if seeded and not served.alike:
        job.ticket.home = 0
    return job


def latent_job(
    work: Work, latents: NDArray[np.float32], served: Served, timeout: float | None, lease: Lease | None
) -> LatentJob:
    """``latents`` float32 [n, d], checked. Raises ValueError for ``timeout``."""
    rows, now = work.rows(served), perf_counter()
    return LatentJob(
        n=len(latents), served=served, kind=(served.bundle.digest, work.name, work.key), work=work, latents=latents,
        lane=Lane(object(), rows), bytes=_held(len(latents), rows, work.row_bytes(served)), lease=lease,
        admitted=now, deadline=now + _seconds(timeout),
    )  # fmt: skip


def facts_of_job(job: SampleJob) -> Facts:
    """What is known of its answer before the first row."""
    shape = job.bundle.manifest.output.shape
    if len(shape) == 3:
        shape = (*shape[1:], shape[0])
    return Facts(
        job.model, job.served.fingerprint, job.n, tuple(shape) if job.decode else None,
        job.choice.method, job.seed, job.offset,
    )  # fmt: skip


def check_request(request: SampleRequest) -> None:
    """Raises ValueError for n, seed or offset out of range."""
    if request.n < 1:
        raise ValueError(f"n must be at least 1, not {request.n}")
    if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
        raise ValueError(f"the seed must lie in [0, {MAX_SEED}], not {request.seed}")
    if not 0 <= request.offset < MAX_INDEX:
        raise ValueError(f"the offset must lie in [0, {MAX_INDEX}), not {request.offset}")
    if request.offset and request.seed is None:
        raise ValueError("an offset needs a seed: without one no sample has an index")


def _held(rows: int, batch: int, row_bytes: int) -> int:
    """Bytes of an answer that is held whole; what one batch makes is not counted."""
    return 0 if rows <= batch else rows * row_bytes


def _seconds(timeout: float | None) -> float:
    if timeout is None:
        return inf
    if not 0 < timeout <= LONGEST_TIMEOUT:
        raise ValueError(f"the timeout must lie in (0, {LONGEST_TIMEOUT:.0f}] seconds, not {timeout}")
    return timeout
