"""A generator's batch as a CUDA graph, to measure what that is worth: the engine has none.

It would need streams that no two recordings share, memory given back when batches shrink, and a way out of a recording
that fails half-way: to be built where the measurement says that it pays.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from models.bundle import Bundle
from service.engine.cuda import fetched
from service.engine.decoding import rows_of
from service.engine.onecall import Decode, Whole
from service.engine.rows import Pixels

# Of a module before it is recorded: kernels are chosen and memory is laid out in its first calls.
WARM_UPS = 3
Outputs = tuple[torch.Tensor, ...]


class Recorded:
    """``module``, for latents [k, d] of one shape, as one launch (a CUDA graph) where it has one for each kernel else.

    It reads and writes the same memory every time: one call at a time. Raises what torch raises where ``module`` cannot
    be recorded, as when it looks at the values of a tensor; the process is not to be relied on afterwards.
    """

    def __init__(self, module: Callable[[torch.Tensor], Outputs], latents: torch.Tensor) -> None:
        with torch.cuda.device(latents.device), torch.inference_mode():
            self._latents = latents.clone()
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UPS):
                    module(self._latents)
            torch.cuda.current_stream().wait_stream(beside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=beside):
                self._made = module(self._latents)

    def __call__(self, latents: torch.Tensor) -> Outputs:
        """What ``module`` gives for ``latents``, of the shape that was recorded, in the machine's memory."""
        with torch.cuda.device(self._latents.device), torch.inference_mode():
            self._latents.copy_(latents, non_blocking=True)
            self._graph.replay()
            return fetched(self._made)


def recorded(bundle: Bundle, probe: torch.Tensor) -> Decode:
    """``decode`` of ``bundle``, for batches as large as ``probe``."""
    record = Recorded(Whole(bundle).eval(), probe)

    def run(latents: torch.Tensor) -> Pixels:
        return rows_of(*record(latents))

    return run
