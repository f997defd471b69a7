"""``drs``: rejection of decoded samples by density ratio (Azadi et al. 2019)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn.functional import logsigmoid

from models.bundle import Bundle
from models.pilot import DrsPilot
from sampling.block import Block
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.ratio import Judge, judge_of
from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE, BlockSizes, Sampler
from sampling.streams import Stream

EPSILON = 1e-6
"""Keeps the acceptance logit of a sample at the bound finite, as published."""

MAX_SHIFT = 99
"""The last percentile, 100, is the pilot's largest sample, at a logit of 14 whatever the bundle. Between it and the one
before nothing is known of the rate: 25 Gaussians at 99.5 accepted 0.0002 where interpolation foretold 0.005."""

Shift = Literal["none"] | Annotated[float, Field(ge=0, le=MAX_SHIFT)]


class DrsParameters(Parameters):
    """What a request may set of DRS."""

    shift: Annotated[
        Shift,
        Field(
            description="'none': accept in proportion to the density ratio, whose law is exact. A percentile from 0 "
            "to 99: shift the acceptance logit by that percentile of a pilot run; the lower it is, the more passes "
            "and the closer the law is to the generator's."
        ),
    ] = "none"


def acceptance_logit(log_ratios: torch.Tensor, bound: float) -> torch.Tensor:
    """Logit of the unshifted acceptance probability exp(l - bound), [n]; ratios above the bound count as the bound."""
    below = log_ratios.clamp(max=bound) - bound
    return below - torch.log(-torch.expm1(below - EPSILON))


def log_acceptance(log_ratios: torch.Tensor, bound: float, shift: float | None) -> torch.Tensor:
    """Log of the acceptance probability, [n]. ``shift`` None is the plain rule, r / M with log M = ``bound``."""
    if shift is None:
        return log_ratios.clamp(max=bound) - bound
    return logsigmoid(acceptance_logit(log_ratios, bound) - shift)


@torch.no_grad()
def propose_drs(judge: Judge, bound: float, shift: float | None, stream: Stream) -> Block:
    """Decode and judge the next block of ``stream``; each sample passes by its own uniform.

    Without a shift what passes has the law min(r, M) * generator; the bound is frozen, since one that rises on the
    way would make samples depend on their predecessors. Proposals above it are counted in the cost.
    """
    rng = stream.next()
    judged = judge(stream, rng)
    uniform = rng.uniforms(1).squeeze(1).to(stream.device)
    passed = uniform < log_acceptance(judged.log_ratios, bound, shift).exp()
    above = int((judged.log_ratios > bound).sum())
    rows = passed.nonzero().squeeze(1)
    return judge.keep(judged, rows, rows, above)


def shift_at(pilot: DrsPilot, percentile: float) -> float:
    """The acceptance logit below which ``percentile`` % of a generator's samples lie, by linear interpolation."""
    low = min(int(percentile), len(pilot.logit_percentiles) - 2)
    first, second = pilot.logit_percentiles[low : low + 2]
    return first + (percentile - low) * (second - first)


def expected_acceptance(pilot: DrsPilot, shift: float | None) -> float:
    """Accepted over proposals by the pilot run; with a shift from its percentiles (trapezoid rule)."""
    if shift is None:
        return pilot.acceptance_rate
    rates = torch.sigmoid(torch.tensor(pilot.logit_percentiles, dtype=torch.float64) - shift)
    return float((rates[1:] + rates[:-1]).mean() / 2)


def _bind(bundle: Bundle, parameters: DrsParameters, sizes: BlockSizes) -> Sampler:
    pilot = bundle.manifest.pilot.drs
    assert pilot is not None
    shift = None if parameters.shift == "none" else shift_at(pilot, parameters.shift)
    expected = expected_acceptance(pilot, shift)
    if expected * MAX_PROPOSALS_PER_SAMPLE < 1:
        raise ValueError(
            f"drs with shift={parameters.shift} accepts {expected:.1e} of the proposals of bundle {bundle.name}, "
            f"less than one in {MAX_PROPOSALS_PER_SAMPLE}; use a shift of 95 or lower"
        )
    propose = partial(propose_drs, judge_of(bundle), pilot.bound, shift)
    return Sampler("drs", propose, sizes.decoded, parameters, expected, decodes=True)


METHOD = Method(
    "drs",
    "rejection of decoded samples by density ratio",
    _bind,
    needs=("classifier",),
    pilot=("classifier", "drs"),
    parameters=DrsParameters,
)
