"""``truncation``: each coordinate from the prior truncated to [-t, t] (Brock et al. 2019)."""

from __future__ import annotations

from functools import partial
from math import erf, sqrt

import torch
from pydantic import Field

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior, PriorKind
from sampling.block import Block, every
from sampling.draw import Cost
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.randomness import Randomness
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import Stream

DEFAULT_THRESHOLDS: dict[PriorKind, float] = {"normal": 2.0, "uniform": 0.95}
"""Both keep 95% of each coordinate's mass; 2 is where the published sweeps start."""
MAX_THRESHOLD = 8.0
"""A normal coordinate beyond it has probability 1.2e-15: at this threshold the law is the prior's."""


class TruncationParameters(Parameters):
    """What a request may set."""

    threshold: float | None = Field(
        default=None,
        ge=0.01,
        le=MAX_THRESHOLD,
        description="Every coordinate of a latent stays within this distance of 0: lower is more typical and less "
        "varied. Default: 2 for a normal prior, 0.95 for a uniform one, where at most 1 makes sense.",
    )


def truncated(prior: Prior, threshold: float, rng: Randomness) -> torch.Tensor:
    """A latent for each row with every coordinate conditioned on |z| <= threshold, float32 [rows, dim] on the CPU.

    The law is exact: the inverse distribution function of one uniform a coordinate, in float64, as float32 knows no
    uniform within 6e-8 of 1. So every proposal is a sample, and the random numbers spent never depend on the threshold.
    """
    centred = 2 * rng.doubles(prior.dim) - 1
    if prior.kind == "uniform":
        return (centred * threshold).float()
    mass = erf(threshold / sqrt(2))  # of [-threshold, threshold]; -1 as a uniform would give minus infinity at mass 1
    return (torch.erfinv(centred * mass) * sqrt(2)).clamp(-threshold, threshold).float()


@torch.no_grad()
def propose_truncation(prior: Prior, importance: ImportanceNetwork | None, threshold: float, stream: Stream) -> Block:
    """The next block of ``stream``; everything passes.

    ``proposed_weights`` stays empty: its statistics are those of w under the prior, and these latents are not.
    """
    rows = stream.block
    latents = truncated(prior, threshold, stream.next()).to(stream.device)
    if importance is None:
        return Block(latents, None, Cost(proposals=rows, accepted=rows), every(latents))
    return Block(latents, importance(latents), Cost(rows, rows, importance_rows=rows), every(latents))


def _bind(bundle: Bundle, parameters: TruncationParameters, sizes: BlockSizes) -> Sampler:
    prior, threshold = bundle.prior, parameters.threshold
    if threshold is None:
        threshold = DEFAULT_THRESHOLDS[prior.kind]
    if prior.kind == "uniform" and threshold > 1:
        raise ValueError(f"the uniform prior of {bundle.name} lies in [-1, 1]: threshold must be at most 1")
    propose = partial(propose_truncation, prior, bundle.importance, threshold)
    return Sampler("truncation", propose, sizes.latents, parameters, expected_acceptance=1.0)


METHOD = Method(
    "truncation", "every coordinate from the prior truncated to [-t, t]", _bind, parameters=TruncationParameters
)
