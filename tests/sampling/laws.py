"""Importance weights whose integrals are known, in the shape the samplers take."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from models.importance import Head, ImportanceNetwork

Formula = Callable[[torch.Tensor], torch.Tensor]


class KnownWeight(nn.Module):
    """The pre-activation as a formula on latents, with head and cap m; counts the rows it is asked for.

    With the ``relu`` head and a formula that is nowhere negative the formula is w itself.
    """

    def __init__(self, formula: Formula, cap: float, head: Head = "relu") -> None:
        super().__init__()
        self.formula, self.cap, self.head, self.rows = formula, cap, head, 0

    def score(self, z: torch.Tensor) -> torch.Tensor:
        self.rows += len(z)
        return self.formula(z)

    weigh, log_weigh, forward = ImportanceNetwork.weigh, ImportanceNetwork.log_weigh, ImportanceNetwork.forward


def known(formula: Formula, cap: float, head: Head = "relu") -> ImportanceNetwork:
    return KnownWeight(formula, cap, head)  # type: ignore[return-value, arg-type]


def constant(value: float, cap: float) -> ImportanceNetwork:
    return known(lambda z: torch.full((len(z),), value), cap)
