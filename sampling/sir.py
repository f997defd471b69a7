"""``sir``: one of N decoded candidates, drawn by density ratio (Grover et al. 2019)."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import torch
from pydantic import Field

from models.bundle import Bundle
from sampling.block import Block
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.ratio import Judge, judge_of, whole_sets
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import Stream

MAX_CANDIDATES = 640  # a set is decoded in one piece: more would hold the device too long


class SirParameters(Parameters):
    """What a request may set of SIR."""

    candidates: Annotated[
        int,
        Field(ge=1, le=MAX_CANDIDATES, description="Samples that are decoded for each one returned."),
    ] = 10


def resample(log_ratios: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Index i of each row with probability r_i / sum_j r_j, int64 [sets], from log ratios [sets, N], uniforms [sets].

    In float64: with hundreds of candidates the last steps of a float32 sum lose the unlikely ones.
    """
    below = torch.softmax(log_ratios.double(), dim=1).cumsum(dim=1)
    reached = (below <= uniform.double()[:, None]).sum(dim=1)
    return reached.clamp(max=log_ratios.shape[1] - 1)  # the sum may end a rounding error below one


@torch.no_grad()
def propose_sir(judge: Judge, candidates: int, stream: Stream) -> Block:
    """One sample from each whole set of ``candidates`` proposals of the next block.

    For finite N the law lies between the generator's (N = 1) and the density ratio times it (N to infinity).
    """
    rng = stream.next()
    judged = judge(stream, rng)
    sets = stream.block // candidates
    uniform = rng.units(candidates).doubles(1).squeeze(1)
    picked = resample(judged.log_ratios.view(sets, candidates).cpu(), uniform)
    proposals = picked + candidates * torch.arange(sets)
    return judge.keep(judged, proposals.to(judged.latents.device), torch.arange(sets))


def _bind(bundle: Bundle, parameters: SirParameters, sizes: BlockSizes) -> Sampler:
    """A turn decodes and judges whole sets: about as much as a plain decode of 32 images by default, 27 at the most."""
    propose = partial(propose_sir, judge_of(bundle), parameters.candidates)
    block = whole_sets(parameters.candidates, sizes.decoded)
    expected, unit = 1 / parameters.candidates, parameters.candidates
    return Sampler("sir", propose, block, parameters, expected, unit, decodes=True)


METHOD = Method(
    "sir",
    "one of several decoded candidates, resampled by density ratio",
    _bind,
    needs=("classifier",),
    pilot=("classifier",),
    parameters=SirParameters,
)
