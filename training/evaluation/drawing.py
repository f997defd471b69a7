"""What a method gives for a report: latents, what they cost, and their rows in every feature space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time

import torch

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.pixels import to_uint8
from sampling.draw import Cost, Draw
from sampling.latentrs import sample_latentrs
from sampling.methods import METHODS, bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream
from training.evaluation.blocks import Rows, Space, rows_of

SIZES = BlockSizes(latents=4_096, decoded=480)
"""480 holds whole candidate sets of 2, 3, 5, 10 and 40."""
DECODE_BLOCK = 500
SEED_STRIDE = 100_000
"""Between two streams: each method draws latents of its own, or a block of one would hold samples of another's."""


@dataclass(frozen=True)
class Drawn:
    """``n`` samples: ``weights`` [n] where w was computed, ``rows`` by space, ``seconds`` of drawing and decoding.

    ``decoded``: the method returned decoded rows, nobody else had to decode them.
    """

    n: int
    weights: torch.Tensor | None
    rows: dict[str, Rows]
    cost: Cost
    seconds: float
    decoded: bool


def draw_method(
    bundle: Bundle,
    method: str,
    n: int,
    seed: int,
    spaces: list[Space],
    device: torch.device,
    index: int | None = None,
) -> Drawn:
    """``n`` samples of ``method`` at its defaults. Raises MethodUnavailable, RejectionStalled.

    ``index``: of the stream, that of the method without it.
    """
    sampler = bind(bundle, method, None, SIZES)
    index = list(METHODS).index(method) if index is None else index
    stream = BlockStream(stream_seed(seed, index), sampler.block, device)
    return _measured(bundle, lambda: draw(method, sampler.propose, n, stream), spaces, device)


def draw_weights(
    bundle: Bundle, network: ImportanceNetwork, n: int, seed: int, spaces: list[Space], device: torch.device
) -> Drawn:
    """``n`` samples of latentRS with ``network`` as w. ``seed``: of ``stream_seed``. Raises RejectionStalled."""
    stream = BlockStream(seed, SIZES.latents, device)
    network = network.to(device)
    return _measured(bundle, lambda: sample_latentrs(bundle.prior, network, n, stream), spaces, device)


def stream_seed(seed: int, index: int) -> int:
    return seed + SEED_STRIDE * index


def _measured(bundle: Bundle, make: Callable[[], Draw], spaces: list[Space], device: torch.device) -> Drawn:
    """Samples are decoded block by block and only their features are kept: images of 20,000 faces are 4 GB."""
    clock = process_time if device.type == "cpu" and torch.get_num_threads() == 1 else perf_counter
    started = clock()
    drawn = make()
    seconds, parts = clock() - started, []
    for start in range(0, len(drawn.latents), DECODE_BLOCK):
        started = clock()
        samples = decode(bundle, drawn, slice(start, start + DECODE_BLOCK))
        seconds += clock() - started
        parts.append({space.name: rows_of(space, samples, device) for space in spaces})
    rows = {space.name: Rows.joined([part[space.name] for part in parts]) for space in spaces}
    return Drawn(len(drawn.latents), drawn.weights, rows, drawn.cost, seconds, drawn.samples is not None)


def decode(bundle: Bundle, drawn: Draw, rows: slice = slice(None)) -> torch.Tensor:
    """Samples of a draw; images as the server would send them (uint8), so that metrics see what users get."""
    if drawn.samples is not None:
        return as_delivered(bundle, drawn.samples[rows])
    return decode_latents(bundle, drawn.latents[rows])


@torch.no_grad()
def decode_latents(bundle: Bundle, latents: torch.Tensor) -> torch.Tensor:
    """What latents [n, d] decode to, as a user gets it."""
    samples = torch.cat([bundle.generator(block).cpu() for block in latents.split(DECODE_BLOCK)])
    return as_delivered(bundle, samples)


def as_delivered(bundle: Bundle, samples: torch.Tensor) -> torch.Tensor:
    """The generator's output as a user gets it, on the CPU: points, or uint8 images."""
    if bundle.manifest.output.kind == "points":
        return samples.cpu()
    return to_uint8(samples.cpu(), *(bundle.manifest.output.range or (-1.0, 1.0)))


def acceptance(cost: Cost) -> dict[str, float]:
    """Observed rate with its binomial standard error."""
    rate = cost.acceptance_rate
    error = (rate * (1 - rate) / cost.proposals) ** 0.5
    return {"proposals": cost.proposals, "accepted": cost.accepted, "rate": rate, "standard_error": error}


def costs(drawn: Drawn, prior: Drawn) -> dict[str, float]:
    """Rows through each network for a sample that came out, and seconds over those of the prior, measured once here."""
    given = max(1, drawn.cost.accepted)
    return {
        "generator_passes": (0.0 if drawn.decoded else 1.0) + drawn.cost.generator_rows / given,
        "critic_passes": drawn.cost.critic_rows / given,
        "importance_passes": drawn.cost.importance_rows / given,
        "gradient_steps": drawn.cost.gradient_steps / given,
        "milliseconds": 1e3 * drawn.seconds / drawn.n,
        "times_prior": (drawn.seconds / drawn.n) / (prior.seconds / prior.n),
    }
