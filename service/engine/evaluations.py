"""Work on latents that the caller gives: decode them, score them, refine them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import Bundle
from models.manifest import NetworkRole
from sampling.ascent import AscentParameters, ascent_block, trajectory
from service.engine.accounts import Accounts
from service.engine.errors import NetworkMissing
from service.engine.jobs import Job
from service.engine.rows import Pixels, Rows
from service.engine.served import Served

Arrays = dict[str, Pixels]
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Work:
    """``run`` takes a full batch of latents [``rows``(served), d] on a device and gives fields of Rows, a row a latent.

    The batch always has that one shape, filled up with zeros, as a sampler's does: a row's bits do not depend on n.
    ``stage`` is the metric's label. ``row_bytes``: of what a latent comes to. ``decodes``: the rows go through the
    generator. ``key``: what its speed depends on besides the name.
    """

    name: str
    stage: str
    needs: NetworkRole
    rows: Callable[[Served], int]
    run: Callable[[Served, int, torch.Tensor], Arrays]
    row_bytes: Callable[[Served], int]
    decodes: bool = False
    key: Hashable = None


def _decode(served: Served, device: int, latents: torch.Tensor) -> Arrays:
    return {"rows": served.decoders[device](latents)}


@torch.inference_mode()
def _score(served: Served, device: int, latents: torch.Tensor) -> Arrays:
    importance = served.bundles[device].importance
    assert importance is not None
    weights = importance(latents)
    if not bool(torch.isfinite(weights).all()):
        raise FloatingPointError("the importance network gave NaN or infinite weights")
    return {"weights": weights.cpu().numpy()}


DECODE = Work(
    "decode", "decode", "generator", lambda served: served.batch_rows, _decode, lambda served: served.row_bytes,
    decodes=True,
)  # fmt: skip
SCORE = Work("score", "score", "importance", lambda served: served.proposal_block, _score, lambda _: FLOAT_BYTES)


def refine(parameters: AscentParameters) -> Work:
    """The path of each latent up the importance weight: latents [n, steps + 1, d], weights [n, steps + 1]."""
    return Work(
        "refine",
        "refine",
        "importance",
        lambda served: ascent_block(served.blocks, parameters.steps),
        partial(_refine, parameters),
        lambda served: (parameters.steps + 1) * served.latent_bytes,
        key=parameters,
    )


def _refine(parameters: AscentParameters, served: Served, device: int, latents: torch.Tensor) -> Arrays:
    bundle = served.bundles[device]
    assert bundle.importance is not None
    path = trajectory(bundle.prior, bundle.importance, latents, parameters)
    if not bool(path.latents.isfinite().all() and path.weights.isfinite().all()):
        raise FloatingPointError("the ascent gave NaN or infinite numbers; a smaller step_size may not")
    return {"latents": path.latents.transpose(0, 1).cpu().numpy(), "weights": path.weights.T.cpu().numpy()}


def check_possible(bundle: Bundle, work: Work) -> None:
    """Raises NetworkMissing."""
    if work.needs not in bundle.networks:
        kept_back = bundle.withheld.get(work.needs)
        why = f"which bundle {bundle.name} lacks" if kept_back is None else kept_back
        raise NetworkMissing(f"/{work.name} needs a network '{work.needs}': {why}.")


def check_latents(latents: NDArray[np.float32], dim: int) -> None:
    """Raises ValueError unless ``latents`` are finite, float32, [n >= 1, dim]."""
    if latents.dtype != np.float32 or latents.ndim != 2 or latents.shape[1] != dim or not len(latents):
        raise ValueError(
            f"latents must be float32 [n, {dim}] with n at least 1, not {latents.dtype} {list(latents.shape)}"
        )
    if not np.isfinite(latents).all():
        row = int(np.flatnonzero(~np.isfinite(latents).all(axis=1))[0])
        raise ValueError(f"latents must be finite float32 numbers; row {row} is not")


def acceptance(weights: NDArray[np.float32], cap: float) -> NDArray[np.float32]:
    """The probability min(w / cap, 1) with which latentrs accepts latents of these weights [n]."""
    accepted: NDArray[np.float32] = np.minimum(weights / np.float32(cap), np.float32(1))
    return accepted


@dataclass(eq=False, kw_only=True)
class LatentJob(Job):
    """``latents`` float32 [n, d] and what is to be done to them."""

    work: Work
    latents: NDArray[np.float32]
    parts: list[Mapping[str, Pixels]] = field(default_factory=list)

    def _empty(self) -> None:
        self.parts, self.latents = [], np.empty((0, 0), np.float32)

    def result(self) -> Rows:
        made = {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}
        weights = made.get("weights")
        return Rows(
            model=self.model,
            latents=made.get("latents", self.latents).astype(np.float32, copy=False),
            weights=None if weights is None else weights.astype(np.float32, copy=False),
            rows=made.get("rows"),
            fingerprint=self.served.fingerprint,
            stages=self.stages,
        )


def evaluation_turn(accounts: Accounts, job: LatentJob, device: int) -> int:
    """One canonical batch of the job's latents; how many of them. Raises what the networks raise."""
    rows = job.work.rows(job.served)
    given = job.latents[job.done : job.done + rows]
    batch = np.zeros((rows, given.shape[1]), np.float32)
    batch[: len(given)] = given
    started = perf_counter()
    made = job.work.run(job.served, device, torch.from_numpy(batch).to(job.served.bundles[device].device))
    seconds = perf_counter() - started
    job.charge(job.work.stage, seconds)
    if job.work.decodes:
        accounts.decoded(job.model, rows, rows - len(given), seconds)
        job.decoded += len(given)
    else:
        accounts.stage(job.work.stage, seconds)
    job.parts.append({name: values[: len(given)] for name, values in made.items()})
    job.done += len(given)
    return len(given)
