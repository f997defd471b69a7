"""From latents to the rows of an answer in one call that does without Python's lock.

Between any two operations torch takes the lock, and while the event loop is busy it waits for it, fifty times a batch.
A trace (TorchScript) runs them all without (``benchmarks.onecall`` measures what that is worth). On CUDA a full batch
is recorded besides, so that its kernels are launched at once. Either is used where it gives the same bytes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.jit import optimized_execution  # type: ignore[attr-defined]  # documented, but not in __all__

from models.bundle import Bundle
from service.engine.cuda import Recorded, can_record
from service.engine.decoding import decode, output_of, rows_of
from service.engine.errors import first_line
from service.engine.rows import Pixels

logger = logging.getLogger("winnow.engine")
Decode = Callable[[torch.Tensor], Pixels]
TIMED_BATCHES = 3
# A recording holds a batch's memory for good: for less than a twentieth of its time it is not kept.
WORTH = 0.95


class Whole(nn.Module):
    """Latents [k, d] -> whether all is finite, rows [k, ...] as they leave the server."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.generator, self._output = bundle.generator, partial(output_of, bundle)

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        samples = self.generator(latents)
        return torch.isfinite(samples).all(), self._output(samples)


def one_call(bundle: Bundle, probe: torch.Tensor) -> Decode:
    """``decode`` of ``bundle`` in one call where that can be; ``probe`` [k, d]: latents of the largest batch.

    A trace follows one example: a generator that looks at the values or the number of its rows may do otherwise on
    others. So it must give the same bytes as the generator itself for several numbers of rows.
    """
    best = as_it_is(bundle, probe)
    sizes = {1, min(2, len(probe)), len(probe) // 2 + 1, len(probe)}
    best = _checked(bundle, partial(traced, bundle, probe), best, [probe[:size] for size in sizes])
    if can_record(probe.device):
        # Other values first: what it gave for the one batch must not stand for the next.
        quick = _checked(bundle, partial(recorded, bundle, probe, best), best, [probe.flip(0), probe, probe[:1]])
        if quick is not best and seconds_of(quick, probe) < WORTH * seconds_of(best, probe):
            best = quick
    return best


def as_it_is(bundle: Bundle, probe: torch.Tensor) -> Decode:
    """``decode`` of ``bundle``, operation by operation."""
    del probe
    return partial(decode, bundle)


def traced(bundle: Bundle, probe: torch.Tensor) -> Decode:
    """``decode`` of ``bundle`` as what it does with ``probe``. Raises what torch raises where it cannot be followed."""
    with warnings.catch_warnings(), torch.inference_mode():
        # The tracer warns of what it cannot follow, which is compared; and that newer torch would rather compile,
        # which needs a compiler where it runs.
        warnings.simplefilter("ignore")
        module = torch.jit.trace(Whole(bundle).eval(), probe, check_trace=False)

    def run(latents: torch.Tensor) -> Pixels:
        # Without the optimiser: it watches the first calls and changes the code, and maybe the bits, afterwards.
        with torch.inference_mode(), optimized_execution(False):
            found = module(latents)
        return rows_of(*found)

    return run


def recorded(bundle: Bundle, probe: torch.Tensor, otherwise: Decode) -> Decode:
    """``decode`` of ``bundle`` on CUDA, recorded for batches as large as ``probe``; ``otherwise`` for smaller ones."""
    record = Recorded(Whole(bundle).eval(), probe)

    def run(latents: torch.Tensor) -> Pixels:
        return rows_of(*record(latents)) if len(latents) == len(probe) else otherwise(latents)

    return run


def _checked(bundle: Bundle, make: Callable[[], Decode], otherwise: Decode, batches: list[torch.Tensor]) -> Decode:
    """What ``make`` gives if its bytes are those of ``otherwise`` on all ``batches``, else ``otherwise``."""
    try:
        other = make()
        if all(np.array_equal(other(batch), otherwise(batch)) for batch in batches):
            return other
    except Exception as error:  # noqa: BLE001 - out of memory, too: ``otherwise`` needs less, or will say so itself
        logger.info("not in one call", extra={"model": bundle.name, "reason": first_line(error)})
    return otherwise


def seconds_of(decoder: Decode, latents: torch.Tensor) -> float:
    """Of one batch of ``latents``, the quickest of a few."""

    def once() -> float:
        started = perf_counter()
        decoder(latents)  # comes back when the rows lie in the machine's memory
        return perf_counter() - started

    return min(once() for _ in range(TIMED_BATCHES))
