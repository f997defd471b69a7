"""``latentga``: latents of the prior that climb the importance weight (Issenhuth et al. 2022, algorithm 4)."""

from __future__ import annotations

from functools import partial

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.ascent import AscentParameters, ascent_block, trajectory
from sampling.block import Block, every
from sampling.draw import Cost
from sampling.method import Method
from sampling.projection import resolve_projection
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import Stream


def propose_latentga(
    prior: Prior, importance: ImportanceNetwork, parameters: AscentParameters, stream: Stream
) -> Block:
    """The next block of ``stream``, every latent climbed; nothing is rejected."""
    rows = stream.block
    start = prior.draw(stream.next()).to(stream.device)
    path = trajectory(prior, importance, start, parameters)
    cost = path.cost + Cost(proposals=rows, accepted=rows)
    return Block(path.latents[-1], path.weights[-1], cost, every(start), proposed_weights=path.weights[0])


def _bind(bundle: Bundle, parameters: AscentParameters, sizes: BlockSizes) -> Sampler:
    """A turn costs two to four decodes of 32 images, whatever the steps (see ascent_block)."""
    assert bundle.importance is not None
    resolve_projection(bundle.prior, parameters.projection)
    propose = partial(propose_latentga, bundle.prior, bundle.importance, parameters)
    return Sampler("latentga", propose, ascent_block(sizes, parameters.steps), parameters, expected_acceptance=1.0)


METHOD = Method(
    "latentga",
    "gradient ascent on the importance weight, nothing rejected",
    _bind,
    needs=("importance",),
    parameters=AscentParameters,
)
