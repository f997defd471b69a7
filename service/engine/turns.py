"""One turn of the device: a block of proposals at most a stream, then one generator call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from service.engine.accounts import Accounts
from service.engine.decoding import decode, to_rows
from service.engine.evaluations import LatentJob, evaluation_turn
from service.engine.jobs import Job, SampleJob
from service.engine.options import EngineOptions
from service.engine.shares import fair_shares
from service.engine.supplies import Supplies
from service.engine.supply import Supply, SupplyKey, Take

# After this long no further stream of a shared turn evaluates a block: methods that decode take tens of
# milliseconds each, and whoever waits beside them waits for a turn, not for a dozen methods.
PROPOSE_SECONDS = 0.02


@dataclass(frozen=True)
class Turn:
    """What a turn needs: the dials, the books, and the shared supplies of unseeded work."""

    options: EngineOptions
    accounts: Accounts
    supplies: Supplies


def party(jobs: Sequence[Job]) -> list[Job]:
    """Who shares the next turn: the first job, and with it every unseeded request for samples of the same model
    and kind, whatever its method."""
    first = jobs[0]
    if not isinstance(first, SampleJob) or first.seed is not None:
        return [first]
    return [
        job
        for job in jobs
        if isinstance(job, SampleJob) and job.seed is None and job.bundle is first.bundle and job.decode == first.decode
    ]


def take_turn(turn: Turn, jobs: Sequence[Job]) -> None:
    """Move every job of a party forward, as far as it goes. Raises what the networks raise."""
    first = jobs[0]
    if isinstance(first, LatentJob):
        evaluation_turn(turn.options, turn.accounts, first)
        return
    samples = [job for job in jobs if isinstance(job, SampleJob)]
    if samples[0].seed is not None:
        _seeded_turn(turn, samples[0])
    else:
        _shared_turn(turn, samples)


def _seeded_turn(turn: Turn, job: SampleJob) -> None:
    """The next canonical batch of the job's own stream.

    The batch is always full: rows past the end are the stream's own next ones, thrown away as padding. So the
    shape and the neighbours of row i are the same whatever n is, and n = 10 is a prefix of n = 64. What a method
    decoded itself, it decoded in the shape of its blocks, which n does not change either.
    """
    if job.supply is None:
        job.supply = _new_supply(turn, job, job.seed)
    batch = turn.options.batch_rows
    if job.supply.ready < batch:
        _propose(turn, job.supply, [job])
    if job.supply.ready and (job.supply.decoded or not job.decode):
        _deliver(turn, job, job.supply.take(min(job.supply.ready, job.missing)))
        return
    if job.supply.ready < batch:
        return
    take, useful = job.supply.take(batch), min(batch, job.missing)
    started = perf_counter()
    rows = decode(job.bundle, take.latents)
    seconds = perf_counter() - started
    job.charge("decode", seconds)
    turn.accounts.decoded(job.model, batch, batch - useful, seconds)
    weights = None if take.weights is None else take.weights[:useful]
    job.add(Take(take.latents[:useful], weights, take.proposals), rows[:useful])


def _shared_turn(turn: Turn, jobs: list[SampleJob]) -> None:
    """One generator call for all jobs of the party, split max-min fairly; what comes decoded needs none."""
    started = perf_counter()
    capacity = turn.options.batch_rows if jobs[0].decode else turn.options.proposal_block
    shares = fair_shares([job.missing for job in jobs], capacity)
    wanted: dict[SupplyKey, list[tuple[SampleJob, int]]] = {}
    for job, share in zip(jobs, shares, strict=True):
        if share:
            wanted.setdefault(job.key, []).append((job, share))
    undecoded: list[tuple[SampleJob, Take]] = []
    for key, ours in wanted.items():
        may_propose = key == jobs[0].key or perf_counter() - started < PROPOSE_SECONDS
        for job, take in _hand_out(turn, ours, may_propose):
            # At once: what is decoded must be in somebody's books before anything else can fail.
            if take.samples is not None or not job.decode:
                _deliver(turn, job, take)
            else:
                undecoded.append((job, take))
    if undecoded:
        _decode_together(turn, undecoded)


def _decode_together(turn: Turn, portions: list[tuple[SampleJob, Take]]) -> None:
    first = portions[0][0]
    started = perf_counter()
    rows = decode(first.bundle, torch.cat([take.latents for _, take in portions]))
    seconds = perf_counter() - started
    turn.accounts.decoded(first.model, len(rows), 0, seconds)
    offset = 0
    for job, take in portions:
        job.charge("decode", seconds)
        job.add(take, rows[offset : offset + len(take.latents)])
        offset += len(take.latents)


def _hand_out(turn: Turn, wanted: list[tuple[SampleJob, int]], may_propose: bool) -> list[tuple[SampleJob, Take]]:
    """Accepted latents for jobs of one supply, as far as one more block of proposals reaches."""
    first = wanted[0][0]
    supply = turn.supplies.get(first.key, lambda: _new_supply(turn, first, None))
    total = sum(share for _, share in wanted)
    if supply.ready < total and may_propose:
        _propose(turn, supply, [job for job, _ in wanted])
    given = fair_shares([share for _, share in wanted], min(total, supply.ready))
    return [(job, supply.take(rows)) for (job, _), rows in zip(wanted, given, strict=True) if rows]


def _deliver(turn: Turn, job: SampleJob, take: Take) -> None:
    """Rows that need no generator any more: decoded by their method, or wanted as latents only."""
    if take.samples is None:
        job.add(take, None)
        return
    turn.accounts.taken(job.model, len(take.samples))
    if job.decode:
        job.add(take, to_rows(job.bundle, take.samples))
    else:
        turn.accounts.unwanted(len(take.samples))
        job.add(take, None)


def _new_supply(turn: Turn, job: SampleJob, seed: int | None) -> Supply:
    return Supply(job.bundle, job.choice.sampler, seed, turn.options.max_proposals_per_sample)


def _propose(turn: Turn, supply: Supply, jobs: list[SampleJob]) -> None:
    started = perf_counter()
    block = supply.propose()
    seconds = perf_counter() - started
    turn.accounts.evaluated(supply, block, seconds)
    for job in jobs:
        job.charge("propose", seconds)
    supply.check_stalled()
