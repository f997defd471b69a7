"""What a device does in one turn: the shares of jobs that go through it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TypeVar

import torch

from service.engine.decoding import is_out_of_memory, to_rows
from service.engine.evaluations import LatentJob, evaluation_turn
from service.engine.jobs import Job, SampleJob
from service.engine.outcomes import Outcome, Turn
from service.engine.rows import Pixels
from service.engine.shares import fair_shares
from service.engine.supplies import stocked
from service.engine.supply import SeededSupply, SharedSupply, Supply, SupplyError, SupplyStalled, Take

# After this long no further stream of a shared turn evaluates a block: methods that decode take tens of
# milliseconds each, and whoever waits beside them waits for a turn, not for a dozen methods.
PROPOSE_SECONDS = 0.02
Shares = Sequence[tuple[Job, int]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Portioned:
    """Latents that were taken for a job and still have to be decoded."""

    job: SampleJob
    take: Take


def take_turn(turn: Turn, shares: Shares) -> Outcome:
    """Move every job forward, as far as it goes. Raises what concerns them all."""
    outcome = Outcome()
    first = shares[0][0]
    if isinstance(first, LatentJob):
        started = perf_counter()
        outcome.made[first] = once_more(partial(evaluation_turn, turn.accounts, first, turn.device))
        outcome.spend(shares[:1], perf_counter() - started)
        return outcome
    samples = [(job, rows) for job, rows in shares if isinstance(job, SampleJob)]
    if samples[0][0].slotted:
        _slotted_turn(turn, *samples[0], outcome)
    else:
        _shared_turn(turn, samples, outcome)
    return outcome


def once_more(work: Callable[[], Result]) -> Result:
    """What ``work`` comes to, tried again where it raises: a fault that passes is nobody's. No memory does not pass."""
    try:
        return work()
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, SupplyStalled):
            raise
    return work()


def _slotted_turn(turn: Turn, job: SampleJob, share: int, outcome: Outcome) -> None:
    """The next canonical batch of the job's own stream, where bits depend on slots and neighbours.

    Sample i sits in slot i mod batch_rows, between the stream's own neighbours, whether or not they are asked for:
    the supply starts at the batch that holds ``offset``, and what is decoded beside the request is padding.
    """
    supply, batch = _own_supply(turn, job), job.served.batch_rows
    until = perf_counter() + PROPOSE_SECONDS
    while supply.ready < batch and job not in outcome.failed:
        _propose(turn, supply, [(job, batch)], outcome)
        if supply.decodes or perf_counter() > until:
            break
    if job in outcome.failed:
        return
    if supply.decodes:
        _deliver_decoded(turn, job, share, supply, outcome)
        return
    if supply.ready < batch:
        return
    skipped = job.offset + job.done - supply.position
    take = supply.take(batch)
    useful = slice(skipped, min(batch, skipped + job.missing))
    started = perf_counter()
    try:
        rows = once_more(partial(turn.decoder.canonical, job.served, take.latents))[useful]
    except Exception as error:  # noqa: BLE001 - whatever a network raises concerns this job only
        outcome.failed[job] = error
        return
    seconds = perf_counter() - started
    turn.accounts.decoded(job.model, batch, batch - len(rows), seconds)
    turn.accounts.batch(full=len(rows) == batch)
    outcome.spend([(job, 1)], seconds)
    job.charge("decode", seconds)
    weights = None if take.weights is None else take.weights[useful]
    outcome.give(turn.accounts, job, Take(take.latents[useful], weights, take.proposals), rows)


def _deliver_decoded(turn: Turn, job: SampleJob, share: int, supply: SeededSupply, outcome: Outcome) -> None:
    """Up to ``share`` of what its method decoded, in the blocks of the job's own stream, whose slots the seed fixes: no
    batch to fill."""
    behind = min(job.offset + job.done - supply.position, supply.ready)
    if behind:
        turn.accounts.surplus(job.model, len(supply.take(behind).latents))
    if supply.ready:
        _deliver(turn, job, supply.take(min(supply.ready, share)), outcome)


def _shared_turn(turn: Turn, shares: Sequence[tuple[SampleJob, int]], outcome: Outcome) -> None:
    """One generator call for all jobs of a lane; what comes decoded needs none."""
    started = perf_counter()
    groups: dict[int, tuple[Supply, list[tuple[SampleJob, int]]]] = {}
    for job, share in shares:
        rows = share - _hand_on(turn, job, share, outcome)
        if not rows or job in outcome.failed:
            continue
        try:
            supply = _supply_of(turn, job)
        except Exception as error:  # noqa: BLE001 - its own mistake, whatever it is
            outcome.failed[job] = error
            continue
        groups.setdefault(id(supply), (supply, []))[1].append((job, rows))
    undecoded: list[Portioned] = []
    for number, (supply, ours) in enumerate(groups.values()):
        # The leader's supply evaluates one block at least, the others as far as the time reaches.
        blocks_until = started + PROPOSE_SECONDS
        for job, take in _hand_out(turn, supply, ours, number == 0, blocks_until, outcome):
            # At once: what is decoded must be in somebody's books before anything else can fail.
            if take.samples is not None or not job.decode:
                _deliver(turn, job, take, outcome)
            else:
                undecoded.append(Portioned(job, take))
    if undecoded:
        _decode_together(turn, undecoded, outcome)


def _hand_on(turn: Turn, job: SampleJob, most: int, outcome: Outcome) -> int:
    """Give ``job`` rows that were made for somebody who left; how many."""
    if job.seed is not None or not job.decode:
        return 0
    given = 0
    while given < most and job not in outcome.failed:
        if (returned := turn.returns.take(job.key, most - given)) is None:
            break
        given += len(returned.rows)
        turn.accounts.taken(job.model, len(returned.rows))
        outcome.give(turn.accounts, job, returned.take, returned.rows)
    return given


def _hand_out(
    turn: Turn, supply: Supply, wanted: list[tuple[SampleJob, int]], leads: bool, until: float, outcome: Outcome
) -> list[tuple[SampleJob, Take]]:
    """Chosen latents for jobs of one supply, from stock and from as many blocks as can start before ``until``."""
    total = sum(rows for _, rows in wanted)
    # Once a request, and only where a full pool could have held it.
    new = [job for job, _ in wanted if job.seed is None and not job.done and job.n <= turn.options.pool_rows]
    if new and stocked(supply):
        turn.accounts.asked(supply.ready < total, len(new))
    while supply.ready < total and (leads or perf_counter() < until) and wanted[0][0] not in outcome.failed:
        leads = False
        _propose(turn, supply, wanted, outcome)
    wanted = [(job, rows) for job, rows in wanted if job not in outcome.failed]
    given = fair_shares([rows for _, rows in wanted], min(total, supply.ready))
    taken = [(job, supply.take(rows)) for (job, _), rows in zip(wanted, given, strict=True) if rows]
    turn.accounts.stock(supply)
    return taken


def _decode_together(turn: Turn, portions: list[Portioned], outcome: Outcome) -> None:
    """One batch; where that fails each portion once more on its own, so that it fails alone."""
    try:
        rows = _decode_batch(turn, portions, outcome)
    except Exception:  # noqa: BLE001 - whatever the generator raises
        for portion in portions:
            _decode_alone(turn, portion, outcome)
    else:
        _share_out(turn, portions, rows, outcome)


def _decode_alone(turn: Turn, portion: Portioned, outcome: Outcome) -> None:
    try:
        rows = _decode_batch(turn, [portion], outcome)
    except Exception as error:  # noqa: BLE001
        outcome.failed[portion.job] = error
    else:
        _share_out(turn, [portion], rows, outcome)


def _decode_batch(turn: Turn, portions: list[Portioned], outcome: Outcome) -> Pixels:
    served = portions[0].job.served
    latents = torch.cat([portion.take.latents for portion in portions])
    seeded = any(portion.job.seed is not None for portion in portions)
    started = perf_counter()
    rows = turn.decoder.canonical(served, latents) if seeded else turn.decoder.free(served, latents)
    seconds = perf_counter() - started
    padding = served.batch_rows - len(rows) if seeded else 0
    turn.accounts.decoded(served.bundle.name, len(rows) + padding, padding, seconds)
    turn.accounts.batch(full=len(rows) >= served.batch_rows)
    outcome.spend([(portion.job, len(portion.take.latents)) for portion in portions], seconds)
    for portion in portions:
        portion.job.charge("decode", seconds)
    return rows


def _share_out(turn: Turn, portions: list[Portioned], rows: Pixels, outcome: Outcome) -> None:
    offset = 0
    for portion in portions:
        mine = rows[offset : offset + len(portion.take.latents)]
        offset += len(mine)
        outcome.give(turn.accounts, portion.job, portion.take, mine)


def _deliver(turn: Turn, job: SampleJob, take: Take, outcome: Outcome) -> None:
    """Rows that need no generator any more: decoded by their method, or wanted as latents only."""
    if take.samples is None:
        outcome.give(turn.accounts, job, take, None)
        return
    turn.accounts.taken(job.model, len(take.samples))
    if not job.decode:
        turn.accounts.unwanted(len(take.samples))
    outcome.give(turn.accounts, job, take, to_rows(job.bundle, take.samples) if job.decode else None)


def _supply_of(turn: Turn, job: SampleJob) -> Supply:
    """A seeded job's own, else the one that all requests of its key and block share: whoever came before the batches
    got smaller must not have the others evaluate blocks that do not fit."""
    if job.seed is not None:
        return _own_supply(turn, job)
    bundle, sampler = job.served.bundles[turn.device], job.choice.samplers[turn.device]
    most = turn.options.max_proposals_per_sample
    return turn.supplies.get((*job.key, sampler.block), lambda: SharedSupply(bundle, sampler, most))


def _own_supply(turn: Turn, job: SampleJob) -> SeededSupply:
    if job.supply is None:
        assert job.seed is not None
        first = job.offset - job.offset % job.served.batch_rows if job.slotted else job.offset
        most = turn.options.max_proposals_per_sample
        bundle, sampler = job.served.bundles[turn.device], job.choice.samplers[turn.device]
        job.supply = SeededSupply(bundle, sampler, job.seed, first, most)
    return job.supply


def _propose(turn: Turn, supply: Supply, wanted: Sequence[tuple[SampleJob, int]], outcome: Outcome) -> None:
    """Evaluate one block on behalf of ``wanted``; where that fails, they have failed."""
    started = perf_counter()
    try:
        # Of a seeded stream an attempt may have moved on: its bytes must not.
        block = supply.propose() if isinstance(supply, SeededSupply) else once_more(supply.propose)
    except SupplyError as error:
        outcome.failed.update(dict.fromkeys((job for job, _ in wanted), error))
        return
    finally:
        seconds = perf_counter() - started
        outcome.spend(wanted, seconds)
    turn.accounts.evaluated(supply, block, seconds)
    for job, _ in wanted:
        job.charge("propose", seconds)
    try:
        supply.check_stalled()
    except SupplyError as error:
        outcome.failed.update(dict.fromkeys((job for job, _ in wanted), error))


def fill(turn: Turn, supply: Supply) -> None:
    """One more block for a pool, while nobody waits. A failure is whoever's who asks next."""
    started = perf_counter()
    try:
        block = supply.propose()
    except SupplyError:
        return
    turn.accounts.evaluated(supply, block, perf_counter() - started)
    turn.accounts.stock(supply)
    try:
        supply.check_stalled()
    except SupplyError:
        supply.broken = True  # nobody asked: it rests until somebody does, who is told
