"""``latentrs``: rejection in the latent space by importance weight (Issenhuth et al. 2022, algorithm 2)."""

from __future__ import annotations

from functools import partial

import torch

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block, passing
from sampling.dial import ACCEPT_ALL, Acceptance, turn_dial
from sampling.draw import Cost, Draw
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler, draw
from sampling.streams import BlockStream, Stream


class LatentRSParameters(Parameters):
    """Of ``latentrs``."""

    acceptance: Acceptance = None


def accept(weights: torch.Tensor, bound: float, uniform: torch.Tensor) -> torch.Tensor:
    """Accept with probability min(w / bound, 1), bool [n], from uniforms [n] in [0, 1); a bound of 0 accepts all.

    The paper prints w/m >= u; the strict form has the same law and can never accept w = 0. The law of what
    passes is proportional to min(w, bound) * prior, the expected acceptance rate is E[min(w / bound, 1)].
    """
    if bound == ACCEPT_ALL:
        return torch.ones_like(weights, dtype=torch.bool)
    return uniform * bound < weights


@torch.no_grad()
def propose_latentrs(prior: Prior, importance: ImportanceNetwork, stream: Stream, bound: float | None = None) -> Block:
    """Evaluate the next block of ``stream``; w always sees the whole block, so its bits never depend on n.

    ``bound``: the weight from which on everything passes, the network's cap where it is None.
    """
    rng = stream.next()
    latents = prior.draw(rng).to(stream.device)
    weights = importance(latents)
    uniform = rng.uniforms(1).squeeze(1).to(stream.device)
    passed = accept(weights, importance.cap if bound is None else bound, uniform)
    return passing(latents, weights, passed, Cost(proposals=stream.block, importance_rows=stream.block))


def sample_latentrs(
    prior: Prior, importance: ImportanceNetwork, n: int, stream: BlockStream, max_proposals: int | None = None
) -> Draw:
    """The first ``n`` accepted latents of ``stream``. Raises RejectionStalled past ``max_proposals``."""
    return draw("latentrs", partial(propose_latentrs, prior, importance), n, stream, max_proposals)


def _bind(bundle: Bundle, parameters: LatentRSParameters, sizes: BlockSizes) -> Sampler:
    assert bundle.importance is not None
    dial = turn_dial(bundle, parameters.acceptance)
    propose = partial(propose_latentrs, bundle.prior, bundle.importance, bound=dial.bound)
    return Sampler("latentrs", propose, sizes.latents, parameters, dial.expected)


METHOD = Method(
    "latentrs",
    "rejection by importance weight, before anything is decoded",
    _bind,
    needs=("importance",),
    parameters=LatentRSParameters,
)
