"""What every selected run shares: the average of its network, and which validation was the best."""

from __future__ import annotations

import torch
from torch import nn

History = list[tuple[int, float]]
"""(steps done, held-out score) of each validation; lower is better."""


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, done: int, decay: float) -> None:
    """Move the parameters of ``average`` towards those of ``network``, faster during the first steps."""
    decay = min(decay, (1 + done) / (10 + done))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)


def is_best(history: History, score: float) -> bool:
    """Whether ``score`` beats every one before it."""
    return not history or score < min(value for _, value in history)


def is_stale(history: History, patience: int) -> bool:
    """No better score in the last ``patience`` validations."""
    scores = [value for _, value in history]
    return len(scores) - scores.index(min(scores)) > patience if scores else False
