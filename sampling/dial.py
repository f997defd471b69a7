"""The acceptance dial: one w, many acceptance rates."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from models.bundle import Bundle
from models.manifest import Calibration
from sampling.method import MethodUnavailable

Floats = npt.NDArray[np.float64]
BISECTIONS = 60
"""Halve the interval until doubles are used up."""
SHOWN_DECIMALS = 4
ROUNDING = 5e-4
"""Half a level of 1,001 quantiles: a request this little outside the range means its end."""
ACCEPT_ALL = 0.0
"""The bound at which the prior passes untouched."""

Acceptance = Annotated[
    float | None,
    Field(
        gt=0,
        le=1,
        description=(
            "Share of the proposals that pass, by the bundle's calibration; 1 is the prior. What passes has the law "
            "min(w, b) * prior, b solved for this share. Left out, b is the cap that the weights were trained with. "
            "Below E[w] / max w the law would stay w * prior and only cost more: such a rate is refused."
        ),
    ),
]


@dataclass(frozen=True)
class Dial:
    """A latent passes with probability min(1, w / ``bound``), which ``expected`` of the prior's latents do.

    ``bound`` 0 passes all. ``expected`` is None for a bundle without calibration (then the bound is the cap).
    """

    bound: float
    expected: float | None


@dataclass(frozen=True)
class DialReport:
    """What a dial does to a bundle's weights; shares and rates in [0, 1], measured when the bundle was made.

    ``lowest`` and ``highest`` are the rates that can be asked for (and 1). ``law`` names the sampled law.
    """

    bound: float
    mean_weight: float
    largest_weight: float
    share_above_cap: float
    share_above_bound: float
    lowest: float
    highest: float
    expected_acceptance: float
    law: str


def turn_dial(bundle: Bundle, acceptance: float | None) -> Dial:
    """The dial at ``acceptance``, None for the cap as trained. Raises MethodUnavailable without a calibration,
    ValueError for a rate that these weights cannot reach; the message says which they can."""
    assert bundle.importance is not None
    calibration = bundle.manifest.calibration
    if acceptance is None:
        return Dial(bundle.importance.cap, None if calibration is None else calibration.acceptance_rate)
    if acceptance == 1:
        return Dial(ACCEPT_ALL, 1.0)
    if calibration is None:
        raise MethodUnavailable(
            f"A rate of acceptance needs the calibration of the weights, which bundle {bundle.name} lacks."
        )
    lowest, highest = reachable(calibration)
    if not lowest - ROUNDING <= acceptance <= highest + ROUNDING:
        raise ValueError(
            f"acceptance={acceptance:g} is out of reach of bundle {bundle.name}: its weights allow "
            f"{_range_in_words(lowest, highest)}."
        )
    bound = solve_bound(calibration, acceptance)
    return Dial(bound, expected_acceptance(calibration, bound))


def expected_acceptance(calibration: Calibration, bound: float) -> float:
    """E[min(1, w / bound)] over the calibration's quantiles of w; ``bound`` > 0."""
    shares = np.minimum(np.asarray(calibration.weight_quantiles) / bound, 1)
    return float((shares[1:] + shares[:-1]).sum() / (2 * (len(shares) - 1)))


def reachable(calibration: Calibration) -> tuple[float, float]:
    """[E[w] / max w, P(w > 0)]: outside of it no bound changes the law of what passes."""
    least, largest = _bracket(calibration)
    return expected_acceptance(calibration, largest), expected_acceptance(calibration, least)


def solve_bound(calibration: Calibration, acceptance: float) -> float:
    """The bound b at which E[min(1, w / b)] is ``acceptance`` (the nearest reachable rate), by bisection."""
    low, high = _bracket(calibration)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if expected_acceptance(calibration, middle) > acceptance:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def dial_report(bundle: Bundle, acceptance: float | None = None) -> DialReport:
    """What the dial at ``acceptance`` promises; what a draw saw stands in its cost. Raises as turn_dial does, and
    MethodUnavailable for any bundle without weights or their calibration."""
    calibration = bundle.manifest.calibration
    if bundle.importance is None or calibration is None:
        raise MethodUnavailable(f"Bundle {bundle.name} lacks importance weights or their calibration.")
    dial = turn_dial(bundle, acceptance)
    assert dial.expected is not None
    quantiles = np.asarray(calibration.weight_quantiles)
    lowest, highest = reachable(calibration)
    return DialReport(
        bound=dial.bound,
        mean_weight=calibration.mean_weight,
        largest_weight=float(quantiles[-1]),
        share_above_cap=calibration.share_above_cap,
        share_above_bound=_share_above(quantiles, dial.bound),
        lowest=lowest,
        highest=highest,
        expected_acceptance=dial.expected,
        law="prior" if dial.bound == ACCEPT_ALL else f"min(w, {dial.bound:.4g}) * prior",
    )


def _bracket(calibration: Calibration) -> tuple[float, float]:
    """The least positive and the largest weight: the dial has an effect between them."""
    return min(w for w in calibration.weight_quantiles if w > 0), calibration.weight_quantiles[-1]


def _share_above(quantiles: Floats, bound: float) -> float:
    """P(w > bound), linear between the quantiles."""
    levels = np.linspace(0, 1, len(quantiles))
    above = np.searchsorted(quantiles, bound, side="right")
    if above in (0, len(quantiles)):
        return 1.0 if above == 0 else 0.0
    return 1 - float(np.interp(bound, quantiles[above - 1 : above + 1], levels[above - 1 : above + 1]))


def _range_in_words(lowest: float, highest: float) -> str:
    """The ends rounded inwards, so that what is shown can be asked for."""
    scale = 10**SHOWN_DECIMALS
    least, most = ceil(lowest * scale) / scale, floor(highest * scale) / scale
    if lowest == highest == 1:
        return "1 alone (they are all equal)"
    return f"{least:g} to {most:g}" + ("" if most == 1 else ", and 1, which is the prior")
