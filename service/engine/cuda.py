"""What only a CUDA device has: streams of a thread's own, page-locked memory, batches that are recorded and replayed.

None of it has run on one yet; ``benchmarks.gpu_check`` is the command that runs and measures it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

# Of a module before it is recorded: kernels are chosen and memory is laid out in its first calls.
WARM_UPS = 3
Outputs = tuple[torch.Tensor, ...]


def own_stream(device: torch.device) -> None:
    """From now on this thread's work on ``device`` waits for its own only, not for that of another loop there."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.set_stream(torch.cuda.Stream(device))


def fetched(tensors: Outputs) -> Outputs:
    """``tensors``, all on one device, in the machine's memory, once they are made.

    From a CUDA device through page-locked memory and all at once: to other memory the driver copies twice, and one
    after the other each would wait for the device.
    """
    device = tensors[0].device
    if device.type != "cuda":
        return tensors
    copies = tuple(torch.empty_like(each, device="cpu", pin_memory=True) for each in tensors)
    for copy, each in zip(copies, tensors, strict=True):
        copy.copy_(each, non_blocking=True)
    torch.cuda.current_stream(device).synchronize()
    return copies


def can_record(device: torch.device) -> bool:
    """Whether there can be a ``Recorded`` on ``device``."""
    return device.type == "cuda"


class Recorded:
    """``module``, for latents [k, d] of one shape, as one launch (a CUDA graph) where it has one for each kernel else.

    It reads and writes the same memory every time: one call at a time, from whatever thread. Raises what torch raises
    where ``module`` cannot be recorded, as when it looks at the values of a tensor.
    """

    def __init__(self, module: Callable[[torch.Tensor], Outputs], latents: torch.Tensor) -> None:
        self._lock = threading.Lock()
        with torch.cuda.device(latents.device), torch.inference_mode():
            self._latents = latents.clone()
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UPS):
                    module(self._latents)
            torch.cuda.current_stream().wait_stream(beside)
            self._graph = torch.cuda.CUDAGraph()
            # Thread-local: what other loops ask of the device meanwhile is no part of it, and breaks nothing.
            with torch.cuda.graph(self._graph, stream=beside, capture_error_mode="thread_local"):
                self._made = module(self._latents)

    def __call__(self, latents: torch.Tensor) -> Outputs:
        """What ``module`` gives for ``latents``, of the shape that was recorded, in the machine's memory."""
        with self._lock, torch.cuda.device(self._latents.device), torch.inference_mode():
            self._latents.copy_(latents, non_blocking=True)
            self._graph.replay()
            return fetched(self._made)
