"""``latentrsga``: rejection by importance weight, then ascent of what passed (Issenhuth et al. 2022, algorithm 5)."""

from __future__ import annotations

from functools import partial
from math import ceil

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.ascent import AscentParameters, ascent_block, trajectory
from sampling.block import Block
from sampling.dial import Acceptance, turn_dial
from sampling.latentrs import propose_latentrs
from sampling.method import Method
from sampling.projection import resolve_projection
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import Stream


class LatentRSGAParameters(AscentParameters):
    """Of ``latentrsga``: the rejection's and the ascent's."""

    acceptance: Acceptance = None


def propose_latentrsga(
    prior: Prior,
    importance: ImportanceNetwork,
    parameters: LatentRSGAParameters,
    stream: Stream,
    bound: float | None = None,
) -> Block:
    """The next block of ``stream``: proposed as latentrs does, then only the accepted rows climb.

    Their number differs from block to block and bits may depend on the shape, but it is a function of the seed and
    the block's number alone, so seeded results repeat without padding.
    """
    accepted = propose_latentrs(prior, importance, stream, bound)
    path = trajectory(prior, importance, accepted.latents, parameters)
    cost = accepted.cost + path.cost
    return Block(path.latents[-1], path.weights[-1], cost, accepted.rows, proposed_weights=accepted.proposed_weights)


def _bind(bundle: Bundle, parameters: LatentRSGAParameters, sizes: BlockSizes) -> Sampler:
    """A block holds as many proposals as let through what latentga climbs with at once, on average."""
    assert bundle.importance is not None
    resolve_projection(bundle.prior, parameters.projection)
    dial = turn_dial(bundle, parameters.acceptance)
    propose = partial(propose_latentrsga, bundle.prior, bundle.importance, parameters, bound=dial.bound)
    block = min(sizes.latents, ceil(ascent_block(sizes, parameters.steps) / (dial.expected or 1.0)))
    return Sampler("latentrsga", propose, block, parameters, dial.expected)


METHOD = Method(
    "latentrsga",
    "rejection by importance weight, then gradient ascent of what passed",
    _bind,
    needs=("importance",),
    parameters=LatentRSGAParameters,
)
