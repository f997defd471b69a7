"""Constants that methods need from a pilot run, measured once when the bundle is made and frozen in ``bundle.json``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PERCENTILES = 101
"""Of a pilot sample: 0, 1, ..., 100."""


class PilotSection(BaseModel):
    """Base of one method's constants."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClassifierPilot(PilotSection):
    """log density ratio = ``slope`` * score + ``intercept``, fitted on held-out real and generated samples.

    ``reliability`` is Z = sum(y - p) / sqrt(sum p (1 - p)) and ``log_loss`` the mean cross-entropy (log 2 knows
    nothing) on ``rows`` further held-out samples that the calibration did not see. A calibrated Z lies within +-2.
    """

    slope: Annotated[float, Field(gt=0)]
    intercept: float
    reliability: float
    log_loss: Annotated[float, Field(ge=0)]
    rows: Annotated[int, Field(ge=1)]
    seed: int


class DrsPilot(PilotSection):
    """``bound``: the largest log density ratio of ``rows`` generated samples. ``acceptance_rate``: mean exp(l - bound).

    ``logit_percentiles``: percentiles 0, 1, ..., 100 of the acceptance logit without a shift: what shifts are read off.
    """

    bound: float
    acceptance_rate: Annotated[float, Field(gt=0, le=1)]
    logit_percentiles: Annotated[tuple[float, ...], Field(min_length=PERCENTILES, max_length=PERCENTILES)]
    rows: Annotated[int, Field(ge=1)]
    seed: int


class MhPilot(PilotSection):
    """Calibrated log density ratios of held-out real samples: where chains start."""

    real_log_ratios: Annotated[tuple[float, ...], Field(min_length=1)]


class DotPilot(PilotSection):
    """Effective Lipschitz constants of the Wasserstein critic: the largest |D(x1) - D(x2)| / distance of ``pairs``
    generated pairs, averaged over ``repeats``; distance between samples (target) or between latents (latent)."""

    target_constant: Annotated[float, Field(gt=0)]
    latent_constant: Annotated[float, Field(gt=0)]
    pairs: Annotated[int, Field(ge=1)]
    repeats: Annotated[int, Field(ge=1)]
    seed: int


class Pilot(PilotSection):
    """One optional section a method; a method whose section is missing is not available."""

    classifier: ClassifierPilot | None = None
    drs: DrsPilot | None = None
    mh: MhPilot | None = None
    dot: DotPilot | None = None
