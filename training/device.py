"""Where training runs."""

from __future__ import annotations

import torch

from training.errors import TrainingRefused


def choose_device(name: str, threads: int | None = None) -> torch.device:
    """``auto`` is a CUDA device where there is one; ``threads`` limits torch on the CPU. Raises TrainingRefused."""
    if threads is not None:
        if threads < 1:
            raise TrainingRefused(f"--threads must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingRefused(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingRefused("no CUDA device is visible to torch; use --device cpu")
    return device
