"""Methods for tests: one that decodes for itself, one that only moves latents, one that no bundle here can do."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field

from models.bundle import Bundle
from sampling.block import Block, passing
from sampling.draw import Cost
from sampling.method import Method
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler
from sampling.streams import Stream

LOWEST = 0.01
ABOVE_BOUND = 2  # of every block of picky, as it says


class PickyParameters(Parameters):
    acceptance: Annotated[float, Field(gt=0, le=1, description="Share that passes.")] = 0.5
    steps: Annotated[int, Field(ge=1, le=4, description="Looks at a sample.")] = 1


class MovingParameters(Parameters):
    steps: Annotated[int, Field(ge=0, le=1000, description="Moves.")] = 1
    step_size: Annotated[float, Field(ge=-10, le=10, description="Length of a move.")] = 0.5
    road: Annotated[Literal["straight", "winding"], Field(description="Which one.")] = "straight"
    cutoff: Annotated[int | None, Field(ge=1, description="Where to stop.")] = None


@torch.no_grad()
def pick(bundle: Bundle, parameters: PickyParameters, stream: Stream) -> Block:
    """Decode the block ``steps`` times, then toss a coin a row."""
    rng, rows = stream.next(), stream.block
    latents = bundle.prior.draw(rng)
    samples = bundle.generator(latents)
    for _ in range(parameters.steps - 1):
        bundle.generator(latents)
    passed = rng.uniforms(1).squeeze(1) < parameters.acceptance
    kept = passed.nonzero().squeeze(1)
    cost = Cost(rows, len(kept), generator_rows=rows * parameters.steps, above_bound=ABOVE_BOUND)
    return Block(latents[kept], None, cost, kept, samples[kept])


def bind_picky(bundle: Bundle, parameters: PickyParameters, sizes: BlockSizes) -> Sampler:
    if parameters.acceptance < LOWEST:
        raise ValueError(f"acceptance must be at least {LOWEST} here, not {parameters.acceptance}")
    propose = partial(pick, bundle, parameters)
    return Sampler("picky", propose, sizes.decoded, parameters, parameters.acceptance, decodes=True)


@torch.no_grad()
def move(bundle: Bundle, parameters: MovingParameters, stream: Stream) -> Block:
    rows = stream.block
    latents = bundle.prior.draw(stream.next()) + parameters.steps * parameters.step_size
    if parameters.step_size == -10:
        raise RuntimeError("fell off the edge\nand more")
    return passing(latents, None, torch.ones(rows, dtype=torch.bool), Cost(rows))


def bind_moving(bundle: Bundle, parameters: MovingParameters, sizes: BlockSizes) -> Sampler:
    # As if it had forgotten to say its parameters: the engine must not depend on it.
    return Sampler("moving", partial(move, bundle, parameters), sizes.latents)


def never_bound(bundle: Bundle, parameters: Parameters, sizes: BlockSizes) -> Sampler:
    raise AssertionError("a method that is not available was bound")


PICKY = Method("picky", "decodes everything, keeps some", bind_picky, parameters=PickyParameters)
MOVING = Method("moving", "moves every latent", bind_moving, parameters=MovingParameters)
WANTING = Method("wanting", "needs what is not there", never_bound, needs=("classifier",), parameters=MovingParameters)
TOYS = (PICKY, MOVING, WANTING)
