"""``simplicial``: only latents close to one of a few seeds (Tanielian's thesis, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from pydantic import Field

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block, passing
from sampling.draw import Cost
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.prior import propose_prior
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import Stream
from sampling.thresholds import threshold


class SimplicialParameters(Parameters):
    """What a request may set."""

    acceptance: float = Field(
        default=0.3,
        ge=0.005,
        le=1,
        description="Share of the prior's latents that is kept: those that belong most clearly to one seed. At 1 "
        "nothing is rejected.",
    )


@dataclass(frozen=True)
class SeedGate:
    """Latents pass where the largest softmax over ``seeds`` [k, dim] is above ``bound``."""

    seeds: torch.Tensor
    bound: float


def regular_simplex(count: int, dim: int, radius: float = 1.0) -> torch.Tensor:
    """``count`` <= dim + 1 vectors of norm ``radius``, every two at the same distance, float32 [count, dim].

    The rows of the triangular factor of a Gram matrix have its inner products: here those of a regular simplex,
    whose vertices sum to zero. Raises ValueError for a count that the dimension cannot hold.
    """
    if not 2 <= count <= dim + 1:
        raise ValueError(f"in {dim} dimensions from 2 to {dim + 1} points can be equidistant, not {count}")
    # Without the last vertex, which the others determine, the matrix is definite.
    gram = torch.full((count - 1, count - 1), -1 / (count - 1), dtype=torch.float64).fill_diagonal_(1.0)
    vertices = torch.zeros(count, dim, dtype=torch.float64)
    vertices[:-1, : count - 1] = torch.linalg.cholesky(gram)
    vertices[-1] = -vertices[:-1].sum(0)
    return (radius * vertices).float()


def simplicial_score(latents: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """max_i softmax_i(-||z - u_i||) of latents [n, dim] and seeds u [k, dim]: [n], from 1/k to 1."""
    # Without the matrix product, which loses digits of distances whose differences decide here.
    distances = torch.cdist(latents, seeds, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.softmax(-distances, dim=1).amax(1)


@torch.no_grad()
def propose_simplicial(prior: Prior, importance: ImportanceNetwork | None, gate: SeedGate, stream: Stream) -> Block:
    """Score the next block of ``stream``; no network decides."""
    latents = prior.draw(stream.next()).to(stream.device)
    weights = None if importance is None else importance(latents)
    rows = 0 if importance is None else stream.block
    passed = simplicial_score(latents, gate.seeds.to(stream.device)) > gate.bound
    return passing(latents, weights, passed, Cost(proposals=stream.block, importance_rows=rows))


def _bind(bundle: Bundle, parameters: SimplicialParameters, sizes: BlockSizes) -> Sampler:
    if parameters.acceptance == 1:
        whole = partial(propose_prior, bundle.prior, bundle.importance)
        return Sampler("simplicial", whole, sizes.latents, parameters, expected_acceptance=1.0)
    pilot = bundle.manifest.pilot.simplicial
    assert pilot is not None
    gate = SeedGate(torch.tensor(pilot.seeds), threshold(pilot.quantiles, 1 - parameters.acceptance))
    propose = partial(propose_simplicial, bundle.prior, bundle.importance, gate)
    return Sampler("simplicial", propose, sizes.latents, parameters, parameters.acceptance)


METHOD = Method(
    "simplicial",
    "rejection of latents that are close to none of a few seeds",
    _bind,
    pilot=("simplicial",),
    parameters=SimplicialParameters,
)
