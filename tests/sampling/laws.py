"""Importance weights whose integrals are known, in the shape the samplers take."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from models.bundle import Bundle
from models.importance import Head, ImportanceNetwork
from models.manifest import Calibration, ImportanceSpec, PriorSpec
from tests.models.bundles import manifest

Formula = Callable[[torch.Tensor], torch.Tensor]
RAMP_QUANTILES = tuple(2 * level / 1_000 for level in range(1_001))


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


def ramp_bundle(quantiles: tuple[float, ...] | None = RAMP_QUANTILES) -> Bundle:
    """w = relu(1 + x) on U[-1, 1]^2, so w is uniform on [0, 2] and E[min(1, w / b)] = 1 - b / 4 for b in [0, 2].

    ``quantiles`` replace those of w in the calibration; None leaves the calibration out.
    """
    importance = ImportanceNetwork(2, hidden=(), head="relu", cap=2.0)
    with torch.no_grad():
        importance.body[-1].weight.copy_(torch.tensor([[1.0, 0.0]]))  # type: ignore[operator]
        importance.body[-1].bias.fill_(1.0)  # type: ignore[operator]
    calibration = quantiles and Calibration(
        rows=1, seed=0, mean_weight=1.0, share_above_cap=0.0, acceptance_rate=0.5, effective_sample_size=0.75,
        weight_quantiles=quantiles,
    )  # fmt: skip
    document = manifest(
        name="ramp",
        prior=PriorSpec(kind="uniform", dim=2),
        importance=ImportanceSpec(head="relu", cap=2.0, objective="none"),
        calibration=calibration,
    )
    return Bundle(document, {"importance": importance.eval().requires_grad_(False)}, "0" * 64)
