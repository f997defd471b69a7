"""A method bound to a bundle and its parameters, and the one loop that draws n samples with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sampling.block import Block, Propose
from sampling.draw import Cost, Draw, RejectionStalled
from sampling.parameters import NO_PARAMETERS, Parameters
from sampling.randomness import groups
from sampling.streams import BlockStream

MAX_PROPOSALS_PER_SAMPLE = 1_000
MIN_PROPOSAL_CAP = 100_000


@dataclass(frozen=True)
class BlockSizes:
    """Proposals of a block: ``latents`` where only w or nothing reads them, ``decoded`` where a generator does."""

    latents: int = 512
    decoded: int = 32


def rows_for_steps(rows: int, steps: int, usual: int) -> int:
    """``rows`` of a block for the ``usual`` number of steps or fewer, and for more as many fewer, at least one.

    A block is one turn of the device, for which everybody waits: rows x steps stays about what it is by default.
    """
    return max(1, min(rows, rows * usual // max(1, steps)))


@dataclass(frozen=True)
class Sampler:
    """What the engine and the reports drive: ``propose`` on a stream of blocks of ``block`` proposals.

    ``unit``: proposals that one output is made of (a chain's, a set's); a block is a whole number of units.

    ``decodes``: its blocks come with the generator's output, and are as large as BlockSizes.decoded says.

    ``expected_acceptance``: accepted over proposals according to the bundle's calibration, None where it has none.
    """

    method: str
    propose: Propose
    block: int = BlockSizes.latents
    parameters: Parameters = NO_PARAMETERS
    expected_acceptance: float | None = None
    unit: int = 1
    decodes: bool = False

    @property
    def units(self) -> int:
        """Of a block: the most that it can give."""
        return groups(self.block, self.unit)


def draw(method: str, propose: Propose, n: int, stream: BlockStream, max_proposals: int | None = None) -> Draw:
    """The first ``n`` samples of ``stream``, in order. Raises RejectionStalled past ``max_proposals``.

    Every proposal of an evaluated block counts, accepted surplus included: over many draws the ratio of the two
    totals tends to the acceptance rate.
    """
    budget = max(MAX_PROPOSALS_PER_SAMPLE * n, MIN_PROPOSAL_CAP) if max_proposals is None else max_proposals
    blocks: list[Block] = []
    cost = Cost()
    while cost.accepted < n:
        if cost.proposals >= budget:
            raise RejectionStalled(stalled(method, cost) + f" and {n} were asked for; " + WAY_OUT)
        blocks.append(propose(stream))
        cost += blocks[-1].cost
    weights, samples = ([getattr(block, name) for block in blocks] for name in ("weights", "samples"))
    return Draw(
        torch.cat([block.latents for block in blocks])[:n],
        None if weights[0] is None else torch.cat(weights)[:n],
        cost,
        None if samples[0] is None else torch.cat(samples)[:n],
    )


WAY_OUT = "use method=prior, or a bundle with other weights"


def stalled(method: str, cost: Cost) -> str:
    """The start of the sentence that every refusal to go on begins with."""
    return f"{method} accepted {cost.accepted} of {cost.proposals} proposals"
