"""What a device's turn needs, and what comes out of it for every job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.engine.accounts import Accounts
from service.engine.decoding import Decoder
from service.engine.errors import OutOfMemory
from service.engine.jobs import Job, SampleJob
from service.engine.options import EngineOptions
from service.engine.returns import Returns
from service.engine.rows import Pixels
from service.engine.supplies import Supplies
from service.engine.supply import Take


@dataclass(frozen=True)
class Turn:
    """What a turn needs: the dials, the books, the number of the device, its generators' keeper, its shared supplies of
    unseeded work."""

    options: EngineOptions
    accounts: Accounts
    device: int
    decoder: Decoder
    supplies: Supplies
    returns: Returns


def no_room(job: Job) -> OutOfMemory:
    """For the whole answer: the device's batches are not to blame, and stay as they are."""
    what = f"There is no memory for {job.n} samples of {job.model} at once"
    return OutOfMemory(f"{what}; ask for fewer, or for samples in a format that streams.")


@dataclass
class Outcome:
    """``made``: rows that each job got; ``spent``: device seconds on its behalf; ``failed``: jobs that cannot go on,
    and why."""

    made: dict[Job, int] = field(default_factory=dict)
    spent: dict[Job, float] = field(default_factory=dict)
    failed: dict[Job, Exception] = field(default_factory=dict)

    def give(self, accounts: Accounts, job: SampleJob, take: Take, rows: Pixels | None) -> None:
        """Hand a job latents, with their decoded rows if it wants any, and write it down."""
        decoded = 0 if rows is None else len(rows)
        try:
            arrived = job.add(take, rows)
        except MemoryError:  # for the whole answer, which is laid out at its first rows
            accounts.lost(decoded)
            self.failed[job] = no_room(job)
            return
        accounts.given(job, arrived, decoded)
        if arrived:
            self.made[job] = self.made.get(job, 0) + len(take.latents)

    def spend(self, portions: Sequence[tuple[Job, int]], seconds: float) -> None:
        """Split ``seconds`` by rows."""
        total = sum(rows for _, rows in portions)
        for job, rows in portions:
            self.spent[job] = self.spent.get(job, 0.0) + seconds * rows / total
