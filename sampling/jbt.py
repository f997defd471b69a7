"""``jbt``: rejection of latents where the generator stretches space most (Tanielian et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from pydantic import Field
from torch import nn

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.pilot import Derivative
from models.priors import Prior
from sampling.block import Block, passing
from sampling.draw import Cost
from sampling.jacobian import draw_probes, jacobian_score
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.prior import propose_prior
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import Stream
from sampling.thresholds import threshold

LATENTS_OF_DECODED = 8
"""A latent with ten probes takes as long as thirty decoded ones: blocks of an eighth keep a turn short."""


class JbtParameters(Parameters):
    """What a request may set."""

    keep: float = Field(
        default=0.9,
        ge=0.01,
        le=1,
        description="Share of the prior's latents that is kept: those where the norm of the generator's Jacobian is "
        "lowest. At 1 nothing is rejected.",
    )


@dataclass(frozen=True)
class JacobianGate:
    """Latents pass where the score over ``probes`` [k, dim] is at most ``bound``."""

    probes: torch.Tensor
    derivative: Derivative
    bound: float


@torch.no_grad()
def propose_jbt(
    prior: Prior, generator: nn.Module, importance: ImportanceNetwork | None, gate: JacobianGate, stream: Stream
) -> Block:
    """Score the next block of ``stream``; the samples are what the generator gave while it was scored."""
    latents = prior.draw(stream.next()).to(stream.device)
    scored = jacobian_score(generator, latents, gate.probes.to(stream.device), gate.derivative)
    weights = None if importance is None else importance(latents)
    rows = 0 if importance is None else stream.block
    passed = scored.score <= gate.bound
    cost = Cost(proposals=stream.block, importance_rows=rows) + scored.cost
    return replace(passing(latents, weights, passed, cost), samples=scored.samples[passed])


def _bind(bundle: Bundle, parameters: JbtParameters, sizes: BlockSizes) -> Sampler:
    if parameters.keep == 1:
        whole = partial(propose_prior, bundle.prior, bundle.importance)
        return Sampler("jbt", whole, sizes.latents, parameters, expected_acceptance=1.0)
    pilot = bundle.manifest.pilot.jbt
    assert pilot is not None
    gate = JacobianGate(
        draw_probes(pilot.probes, bundle.prior.dim, pilot.probe_seed),
        pilot.derivative,
        threshold(pilot.quantiles, parameters.keep),
    )
    propose = partial(propose_jbt, bundle.prior, bundle.generator, bundle.importance, gate)
    block = max(1, sizes.decoded // LATENTS_OF_DECODED)
    return Sampler("jbt", propose, block, parameters, parameters.keep, decodes=True)


METHOD = Method(
    "jbt",
    "rejection where the generator's Jacobian is largest; decodes what it scores",
    _bind,
    pilot=("jbt",),
    parameters=JbtParameters,
)
