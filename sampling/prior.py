"""``prior``: latents straight from the prior, nothing rejected."""

from __future__ import annotations

import torch

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block
from sampling.draw import Cost, Draw
from sampling.streams import BlockStream


@torch.no_grad()
def propose_prior(prior: Prior, importance: ImportanceNetwork | None, stream: BlockStream) -> Block:
    """The next block of ``stream``; everything passes."""
    latents = prior.draw(stream.block, stream.next()).to(stream.device)
    weights = None if importance is None else importance(latents)
    return Block(latents, weights, torch.ones(stream.block, dtype=torch.bool, device=latents.device))


@torch.no_grad()
def sample_prior(prior: Prior, importance: ImportanceNetwork | None, n: int, stream: BlockStream) -> Draw:
    """``n`` latents; their weights too where the bundle has a w, so that they can be compared."""
    blocks = [propose_prior(prior, importance, stream) for _ in range(-(-n // stream.block))]
    latents = torch.cat([block.latents for block in blocks])[:n]
    cost = Cost(proposals=n, accepted=n, importance_rows=0 if importance is None else len(blocks) * stream.block)
    if importance is None:
        return Draw(latents, None, cost)
    return Draw(latents, torch.cat([block.weights for block in blocks if block.weights is not None])[:n], cost)
