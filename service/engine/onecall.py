"""From latents to the rows of an answer in one call that does without Python's lock.

Between any two operations torch takes the lock, and while the event loop is busy it waits for it, fifty times a batch.
A trace (TorchScript) runs them all without (``benchmarks.onecall`` measures what that is worth). It is used where it
gives the same bytes.
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
from service.engine.decoding import decode, is_out_of_memory, output_of, rows_of
from service.engine.errors import first_line
from service.engine.rows import Pixels

logger = logging.getLogger("winnow.engine")
Decode = Callable[[torch.Tensor], Pixels]
TIMED_BATCHES = 3


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
    plain = as_it_is(bundle, probe)
    try:
        trace = traced(bundle, probe)
        sizes = {1, min(2, len(probe)), len(probe) // 2 + 1, len(probe)}
        if all(np.array_equal(trace(probe[:size]), plain(probe[:size])) for size in sizes):
            return trace
    except Exception as error:
        if is_out_of_memory(error):
            raise
        logger.info("not traced", extra={"model": bundle.name, "reason": first_line(error)})
    return plain


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


def seconds_of(decoder: Decode, latents: torch.Tensor) -> float:
    """Of one batch of ``latents``, the quickest of a few."""

    def once() -> float:
        started = perf_counter()
        decoder(latents)  # comes back when the rows lie in the machine's memory
        return perf_counter() - started

    return min(once() for _ in range(TIMED_BATCHES))
