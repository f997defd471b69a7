"""Programs that a test starts and kills."""

from __future__ import annotations

import os

import torch


def same_threads() -> dict[str, str]:
    """An environment with this process's number of threads, which an earlier test may have set: bits depend on it."""
    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
