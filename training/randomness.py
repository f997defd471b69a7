"""Random numbers of a training step: a function of (seed, step) alone, so a resumed run repeats itself."""

from __future__ import annotations

import numpy as np
import torch


def step_generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """An independent stream for each (seed, step), on ``device``."""
    state = int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0])
    return torch.Generator(device=device).manual_seed(state >> 1)
