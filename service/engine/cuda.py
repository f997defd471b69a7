"""What only a CUDA device has: streams of a thread's own, page-locked memory, errors after which nothing runs any more.

None of it has run on one yet; ``benchmarks.gpu_check`` is the command that runs and measures it.
"""

from __future__ import annotations

import torch


def own_stream(device: torch.device) -> None:
    """From now on this thread's work on ``device`` waits for its own only, not for that of another loop there."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.set_stream(torch.cuda.Stream(device))


def fetched(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """``tensors``, all on one device, in the machine's memory, once they are made.

    From a CUDA device through page-locked memory and all at once: to other memory the driver copies twice, and one
    after the other each would wait for the device. Whoever keeps them for long had better copy them out of there.
    """
    device = tensors[0].device
    if device.type != "cuda":
        return tensors
    copies = tuple(torch.empty_like(each, device="cpu", pin_memory=True) for each in tensors)
    for copy, each in zip(copies, tensors, strict=True):
        copy.copy_(each, non_blocking=True)
    torch.cuda.current_stream(device).synchronize()
    return copies


def lost(device: torch.device) -> bool:
    """Whether nothing runs on ``device`` any more in this process, as after an access to memory that is not there."""
    if device.type != "cuda":
        return False
    try:
        torch.zeros(1, device=device).item()
    except torch.OutOfMemoryError:
        return False
    except RuntimeError as error:
        return "out of memory" not in str(error)
    return False
