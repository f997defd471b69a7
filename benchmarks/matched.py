"""Which settings make methods comparable: one share of what is judged passes, or one measured cost."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, log, sqrt
from typing import Any

from models.bundle import Bundle
from models.pilot import DrsPilot
from models.priors import Prior
from sampling.dial import reachable
from sampling.drs import MAX_SHIFT, expected_acceptance, shift_at

Settings = dict[str, Any]
SHARE = 1 / 3
"""What latentRS passes with the cap m = 3 of the papers' small data sets."""
BUDGET = 3.0
"""Times the bare decode: what judging two decoded samples for each one returned comes to."""
NEAR = 0.01
"""Two rates of acceptance this close count as the same."""
BISECTIONS = 60

GRIDS: dict[str, tuple[Settings, ...]] = {
    "latentga": tuple({"steps": n} for n in (10, 20, 30, 50, 100)),
    "latentrsga": tuple({"steps": n} for n in (10, 20, 30, 50, 100)),
    "langevin": tuple({"steps": n} for n in (10, 20, 30, 50, 100)),
    "simplicial": tuple({"acceptance": a} for a in (0.1, 0.05, 0.03, 0.01, 0.005)),
    "drs": tuple({"shift": p} for p in (20, 40, 50, 60, 80, 90)),
    "mh": tuple({"candidates": n} for n in (2, 3, 5, 10)),
    "sir": tuple({"candidates": n} for n in (2, 3, 5, 10)),
    "dot": tuple({"steps": n} for n in (1, 2, 5, 10)),
}
"""Where cost can be chosen. prior and truncation cost what they cost; latentrs cannot reject more than its weights
allow; jbt costs most of what it costs whatever it keeps."""


def at_share(bundle: Bundle, share: float = SHARE) -> dict[str, Settings]:
    """The settings at which each method that rejects (or chooses one of several) passes about ``share``.

    Methods that the bundle cannot do, and those that reject nothing, are missing; truncation, which is sampled
    without rejecting, gets the cube that holds this share of the prior.
    """
    pilot = bundle.manifest.pilot
    found: dict[str, Settings] = {"truncation": {"threshold": cube(bundle.prior, share)}}
    if bundle.importance is not None and bundle.manifest.calibration is not None:
        found |= {name: weights_at(bundle, share) for name in ("latentrs", "latentrsga")}
    if pilot.jbt is not None:
        found["jbt"] = {"keep": round(share, 4)}
    if pilot.simplicial is not None:
        found["simplicial"] = {"acceptance": round(share, 4)}
    if pilot.drs is not None:
        found["drs"] = {"shift": shift_for(pilot.drs, share)}
    if pilot.classifier is not None:
        found |= {name: {"candidates": round(1 / share)} for name in ("mh", "sir")}
    return found


def weights_at(bundle: Bundle, share: float) -> Settings:
    """No setting where the trained cap passes ``share``; else the dial, as near as it can be turned."""
    calibration = bundle.manifest.calibration
    assert calibration is not None
    if abs(calibration.acceptance_rate - share) < NEAR:
        return {}
    lowest, highest = reachable(calibration)
    return {"acceptance": round(min(max(share, lowest), highest), 4)}


def shift_for(pilot: DrsPilot, share: float) -> int | str:
    """The whole percentile, or "none", at which the pilot run of drs passed a part nearest to ``share``."""
    rates: dict[int | str, float] = {p: expected_acceptance(pilot, shift_at(pilot, p)) for p in range(MAX_SHIFT + 1)}
    rates["none"] = expected_acceptance(pilot, None)
    return min(rates, key=lambda shift: abs(rates[shift] - share))


def cube(prior: Prior, share: float) -> float:
    """The half side t of the cube [-t, t]^d that holds ``share`` of the prior."""
    mass: float = share ** (1 / prior.dim)
    if prior.kind == "uniform":
        return round(mass, 4)
    low, high = 0.0, 8.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if erf(middle / sqrt(2)) < mass else (low, middle)
    return round(low, 4)


def at_cost(method: str, ratio: Callable[[Settings], float], budget: float = BUDGET) -> Settings:
    """The setting of the method's grid whose measured ``ratio`` to the bare decode is nearest to ``budget``."""
    return min(GRIDS.get(method, ({},)), key=lambda settings: abs(log(ratio(settings) / budget)))


def grids_in_words() -> str:
    """The grids, for the page."""
    parts = []
    for method, grid in GRIDS.items():
        (name,) = grid[0]
        parts.append(f"{method} {name} {', '.join(str(settings[name]) for settings in grid)}")
    return "; ".join(parts)
