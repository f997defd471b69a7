"""``mh``: the last sample that an independence chain accepted (Turner et al. 2019)."""

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

MAX_CANDIDATES = 640
"""The length of the original's chains. A chain is judged in one turn of the device: longer ones would hold it too long.
"""


class MhParameters(Parameters):
    """What a request may set of MH."""

    candidates: Annotated[
        int, Field(ge=1, le=MAX_CANDIDATES, description="Length of a chain: samples that are decoded for each output.")
    ] = 40


def run_chains(log_ratios: torch.Tensor, starts: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Index of the last accepted proposal of each chain, int64 [chains]; -1 where none was accepted.

    Log density ratios [chains, K] of the proposals in order, ``starts`` [chains] that of each chain's first state,
    uniforms [chains, K]. A proposal is accepted with probability min(1, r' / r), r the current state's ratio.
    """
    current = starts.clone()
    picked = torch.full_like(starts, -1, dtype=torch.int64)
    for step, (proposed, u) in enumerate(zip(log_ratios.T, uniform.T, strict=True)):
        accepted = u < (proposed - current).exp()
        current = torch.where(accepted, proposed, current)
        picked = torch.where(accepted, step, picked)
    return picked


def pick(log_ratios: torch.Tensor, starts: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The output of each chain, int64 [chains], with ``uniforms`` [2, chains, K].

    A chain that accepts nothing never left the real sample it started at, which is no sample of ours: it is run
    again from its own first proposal. With uniforms of its own: those of the first run are known to be large.
    """
    picked = run_chains(log_ratios, starts, uniforms[0])
    again = run_chains(log_ratios[:, 1:], log_ratios[:, 0], uniforms[1, :, 1:]) + 1
    return torch.where(picked < 0, again, picked)


@torch.no_grad()
def propose_mh(judge: Judge, real_log_ratios: torch.Tensor, candidates: int, stream: Stream) -> Block:
    """One sample from each whole set of ``candidates`` proposals of the next block; all chains advance together.

    A chain starts at the log ratio of a random held-out real sample: if the ratio is exact the state is then in
    equilibrium from the first step on.
    """
    rng = stream.next()
    judged = judge(stream, rng)
    chains = stream.block // candidates
    own = rng.units(candidates)
    starts = real_log_ratios[own.integers(len(real_log_ratios), 1).squeeze(1)]
    uniforms = own.uniforms(2 * candidates).view(chains, 2, candidates).transpose(0, 1)
    picked = pick(judged.log_ratios.view(chains, candidates).cpu(), starts, uniforms)
    proposals = picked + candidates * torch.arange(chains)
    return judge.keep(judged, proposals.to(judged.latents.device), torch.arange(chains))


def _bind(bundle: Bundle, parameters: MhParameters, sizes: BlockSizes) -> Sampler:
    """A turn decodes and judges one whole chain at least: 1.7 plain decodes of 32 images by default, 27 at the most."""
    pilot = bundle.manifest.pilot.mh
    assert pilot is not None
    propose = partial(propose_mh, judge_of(bundle), torch.tensor(pilot.real_log_ratios), parameters.candidates)
    block = whole_sets(parameters.candidates, sizes.decoded)
    expected, unit = 1 / parameters.candidates, parameters.candidates
    return Sampler("mh", propose, block, parameters, expected, unit, decodes=True)


METHOD = Method(
    "mh",
    "the last sample accepted by a Metropolis-Hastings chain of decoded candidates",
    _bind,
    needs=("classifier",),
    pilot=("classifier", "mh"),
    parameters=MhParameters,
)
