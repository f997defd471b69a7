"""``prior``: latents straight from the prior, nothing rejected."""

from __future__ import annotations

from functools import partial

import torch

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block, every
from sampling.draw import Cost, Draw
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler, draw
from sampling.streams import BlockStream, Stream


@torch.no_grad()
def propose_prior(prior: Prior, importance: ImportanceNetwork | None, stream: Stream) -> Block:
    """The next block of ``stream``; everything passes. Weights too where there is a w, so that they can be compared."""
    rows = stream.block
    latents = prior.draw(stream.next()).to(stream.device)
    if importance is None:
        return Block(latents, None, Cost(proposals=rows, accepted=rows), every(latents))
    weights = importance(latents)
    return Block(latents, weights, Cost(rows, rows, importance_rows=rows), every(latents), proposed_weights=weights)


def sample_prior(prior: Prior, importance: ImportanceNetwork | None, n: int, stream: BlockStream) -> Draw:
    """``n`` latents of the prior."""
    return draw("prior", partial(propose_prior, prior, importance), n, stream)


def _bind(bundle: Bundle, parameters: Parameters, sizes: BlockSizes) -> Sampler:
    propose = partial(propose_prior, bundle.prior, bundle.importance)
    return Sampler("prior", propose, sizes.latents, parameters, expected_acceptance=1.0)


METHOD = Method("prior", "straight from the prior, nothing rejected", _bind)
