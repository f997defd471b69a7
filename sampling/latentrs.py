"""``latentrs``: rejection in the latent space by importance weight (Issenhuth et al. 2022, algorithm 2)."""

from __future__ import annotations

import torch

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block
from sampling.draw import Cost, Draw, RejectionStalled
from sampling.streams import BlockStream

MAX_PROPOSALS_PER_SAMPLE = 1_000
MIN_PROPOSAL_CAP = 100_000


def accept(weights: torch.Tensor, cap: float, uniform: torch.Tensor) -> torch.Tensor:
    """Accept with probability min(w / cap, 1), bool [n], from uniforms [n] in [0, 1).

    The paper prints w/m >= u; the strict form has the same law and can never accept w = 0. The law of what
    passes is proportional to min(w, cap) * prior, the expected acceptance rate is E[min(w / cap, 1)].
    """
    return uniform * cap < weights


@torch.no_grad()
def propose_latentrs(prior: Prior, importance: ImportanceNetwork, stream: BlockStream) -> Block:
    """Evaluate the next block of ``stream``; w always sees the whole block, so its bits never depend on n."""
    rng = stream.next()
    latents = prior.draw(stream.block, rng).to(stream.device)
    weights = importance(latents)
    return Block(latents, weights, accept(weights, importance.cap, stream.uniform(rng)))


@torch.no_grad()
def sample_latentrs(
    prior: Prior, importance: ImportanceNetwork, n: int, stream: BlockStream, max_proposals: int | None = None
) -> Draw:
    """The first ``n`` accepted latents of ``stream``, in order. Raises RejectionStalled past ``max_proposals``.

    Every proposal of an evaluated block counts, accepted surplus included: over many draws the ratio of the two
    totals tends to the acceptance rate.
    """
    budget = max(MAX_PROPOSALS_PER_SAMPLE * n, MIN_PROPOSAL_CAP) if max_proposals is None else max_proposals
    latents, weights = [torch.empty(0, prior.dim, device=stream.device)], [torch.empty(0, device=stream.device)]
    cost = Cost()
    while cost.accepted < n:
        if cost.proposals >= budget:
            raise RejectionStalled(
                f"latentrs accepted {cost.accepted} of {cost.proposals} proposals and {n} were asked for; "
                "use method=prior, or a bundle with other weights"
            )
        block = propose_latentrs(prior, importance, stream)
        assert block.weights is not None
        passed = block.passed.nonzero().squeeze(1)
        latents.append(block.latents[passed])
        weights.append(block.weights[passed])
        cost += Cost(proposals=stream.block, accepted=len(passed), importance_rows=stream.block)
    return Draw(torch.cat(latents)[:n], torch.cat(weights)[:n], cost)
