"""The engine's dials, each with the reason for its default."""

from __future__ import annotations

from dataclasses import dataclass

from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE, BlockSizes


@dataclass(frozen=True)
class EngineOptions:
    """``batch_rows``: one generator call, and so the wait of a request for one row beside a large one.

    32 rows of the 28x28 generator took 15 ms (median of 40, two threads, one of the two cores partly busy).
    ``proposal_block``: rows of one call of w; 512 keep the accepted surplus of a small seeded request small.
    ``queue_rows`` bounds what large requests may park, ``queue_requests`` how many requests may wait; a small
    request (one batch) only knows the latter. ``threads``: torch's, None for what the container may use.
    ``max_proposals_per_sample``: a method that needs more, on average over a window, is refused; a thousand
    proposals of the 4x400 w cost what a hundred decoded images do, so no filter that tight is worth its price.
    """

    batch_rows: int = 32
    proposal_block: int = 512
    queue_rows: int = 400_000
    queue_requests: int = 1_024
    threads: int | None = None
    max_proposals_per_sample: int = MAX_PROPOSALS_PER_SAMPLE

    @property
    def blocks(self) -> BlockSizes:
        return BlockSizes(self.proposal_block, self.batch_rows)
