"""``latentrs``: rejection in the latent space by importance weight (Issenhuth et al. 2022, algorithm 2)."""

from __future__ import annotations

from functools import partial

import torch

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block, passing
from sampling.draw import Cost, Draw
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler, draw
from sampling.streams import BlockStream


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
    passed = accept(weights, importance.cap, stream.uniform(rng))
    return passing(latents, weights, passed, Cost(proposals=stream.block, importance_rows=stream.block))


def sample_latentrs(
    prior: Prior, importance: ImportanceNetwork, n: int, stream: BlockStream, max_proposals: int | None = None
) -> Draw:
    """The first ``n`` accepted latents of ``stream``. Raises RejectionStalled past ``max_proposals``."""
    return draw("latentrs", partial(propose_latentrs, prior, importance), n, stream, max_proposals)


def _bind(bundle: Bundle, parameters: Parameters, sizes: BlockSizes) -> Sampler:
    assert bundle.importance is not None
    calibration = bundle.manifest.calibration
    expected = None if calibration is None else calibration.acceptance_rate
    propose = partial(propose_latentrs, bundle.prior, bundle.importance)
    return Sampler("latentrs", propose, sizes.latents, parameters, expected)


METHOD = Method("latentrs", "rejection by importance weight, before anything is decoded", _bind, needs=("importance",))
