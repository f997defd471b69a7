"""One turn of the device: a block of proposals at most a stream, then one generator call."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import torch

from models.bundle import Bundle
from sampling.methods import bind
from sampling.sampler import Sampler
from service.engine.accounts import Accounts
from service.engine.decoding import decode
from service.engine.jobs import Job
from service.engine.options import EngineOptions
from service.engine.shares import fair_shares
from service.engine.supply import Supply, Take

Supplies = dict[tuple[str, str], Supply]


@dataclass(frozen=True)
class Turn:
    """What a turn needs: the dials, the books, and the shared supplies of unseeded work by (model, method)."""

    options: EngineOptions
    accounts: Accounts
    supplies: Supplies


def party(jobs: list[Job]) -> list[Job]:
    """Who shares the next turn: the first job, and with it every unseeded job of the same model and kind."""
    first = jobs[0]
    if first.request.seed is not None:
        return [first]
    return [
        job
        for job in jobs
        if job.request.seed is None and job.model is first.model and job.request.decode == first.request.decode
    ]


def take_turn(turn: Turn, jobs: list[Job]) -> int:
    """Move every job of a party forward; returns the rows that were made. Raises what the networks raise."""
    if jobs[0].request.seed is not None:
        return _seeded_turn(turn, jobs[0])
    return _shared_turn(turn, jobs)


def _seeded_turn(turn: Turn, job: Job) -> int:
    """The next canonical batch of the job's own stream.

    The batch is always full: rows past the end are the stream's own next ones, thrown away as padding. So the
    shape and the neighbours of row i are the same whatever n is, and n = 10 is a prefix of n = 64.
    """
    if job.supply is None:
        job.supply = Supply(_bundle(job), _sampler(turn, job), job.request.seed)
    batch = turn.options.batch_rows
    if job.supply.ready < batch:
        _propose(turn, job.supply, [job])
    if job.supply.ready < batch:
        return 0
    if not job.request.decode:
        useful = min(job.supply.ready, job.missing)
        job.add(job.supply.take(useful), None)
        return useful
    take, useful = job.supply.take(batch), min(batch, job.missing)
    started = perf_counter()
    rows = decode(_bundle(job), take.latents)
    _charge([job], "decode", perf_counter() - started)
    turn.accounts.decoded(job.model.name, batch, batch - useful, perf_counter() - started)
    weights = None if take.weights is None else take.weights[:useful]
    job.add(Take(take.latents[:useful], weights, take.proposals), rows[:useful])
    return useful


def _shared_turn(turn: Turn, jobs: list[Job]) -> int:
    """One generator call for all jobs of the party, split max-min fairly."""
    capacity = turn.options.batch_rows if jobs[0].request.decode else turn.options.proposal_block
    shares = fair_shares([job.missing for job in jobs], capacity)
    portions: list[tuple[Job, Take]] = []
    for method in dict.fromkeys(job.method for job in jobs):
        ours = [(job, share) for job, share in zip(jobs, shares, strict=True) if job.method == method and share]
        portions += _hand_out(turn, method, ours)
    if not portions:
        return 0
    made = sum(len(take.latents) for _, take in portions)
    if not jobs[0].request.decode:
        for job, take in portions:
            job.add(take, None)
        return made
    started = perf_counter()
    rows = decode(_bundle(jobs[0]), torch.cat([take.latents for _, take in portions]))
    seconds = perf_counter() - started
    turn.accounts.decoded(jobs[0].model.name, made, 0, seconds)
    offset = 0
    for job, take in portions:
        job.charge("decode", seconds)
        job.add(take, rows[offset : offset + len(take.latents)])
        offset += len(take.latents)
    return made


def _hand_out(turn: Turn, method: str, wanted: list[tuple[Job, int]]) -> list[tuple[Job, Take]]:
    """Accepted latents for jobs of one method, as far as one more block of proposals reaches."""
    if not wanted:
        return []
    first = wanted[0][0]
    key = (first.model.name, method)
    if key not in turn.supplies:
        turn.supplies[key] = Supply(_bundle(first), _sampler(turn, first), None)
    supply = turn.supplies[key]
    total = sum(share for _, share in wanted)
    if supply.ready < total:
        _propose(turn, supply, [job for job, _ in wanted])
    given = fair_shares([share for _, share in wanted], min(total, supply.ready))
    return [(job, supply.take(rows)) for (job, _), rows in zip(wanted, given, strict=True) if rows]


def _propose(turn: Turn, supply: Supply, jobs: list[Job]) -> None:
    started = perf_counter()
    block = supply.propose()
    seconds = perf_counter() - started
    turn.accounts.evaluated(supply, block, seconds)
    _charge(jobs, "propose", seconds)
    supply.check_stalled()


def _charge(jobs: list[Job], stage: str, seconds: float) -> None:
    for job in jobs:
        job.charge(stage, seconds)


def _bundle(job: Job) -> Bundle:
    assert job.model.bundle is not None
    return job.model.bundle


def _sampler(turn: Turn, job: Job) -> Sampler:
    return bind(_bundle(job), job.method, sizes=turn.options.blocks)
