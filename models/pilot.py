"""Constants that methods need from a pilot run, measured once when the bundle is made and frozen in ``bundle.json``."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_QUANTILES = 10_001
PERCENTILES = 101
"""Of a pilot sample: 0, 1, ..., 100."""
Derivative = Literal["exact", "difference"]


class PilotSection(BaseModel):
    """Base of one method's constants."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ScoreQuantiles(PilotSection):
    """A score of fresh latents of the prior: ``quantiles`` at evenly spaced levels, minimum and maximum included.

    ``rows`` latents of ``seed`` were scored. A share of the prior becomes a threshold on the score by interpolation.
    """

    rows: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]
    quantiles: Annotated[tuple[float, ...], Field(min_length=2, max_length=MAX_QUANTILES)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(below > above for below, above in pairwise(self.quantiles)):
            raise ValueError("the quantiles must ascend")
        if self.quantiles[0] == self.quantiles[-1]:
            raise ValueError("the quantiles are all the same: this score tells no latents apart")
        if self.quantiles[0] < 0:
            raise ValueError("the quantiles must not be negative")
        return self


class JbtPilot(ScoreQuantiles):
    """The mean squared norm of J v over ``probes`` directions v ~ N(0, I) of ``probe_seed``, the same for every latent.

    ``derivative``: exact Jacobian-vector products, or finite differences where an operator has no such derivative.
    """

    probes: Annotated[int, Field(ge=1, le=1_000)]
    probe_seed: Annotated[int, Field(ge=0, lt=2**63)]
    derivative: Derivative


class SimplicialPilot(ScoreQuantiles):
    """The largest softmax of minus the distances to ``seeds`` (vectors of the latent space).

    ``kind``: the vertices of a ``regular`` simplex, or ``fitted`` to the classes of the generator's output.
    ``radius``: the mean norm of the seeds.
    """

    kind: Literal["regular", "fitted"]
    radius: Annotated[float, Field(gt=0)]
    seeds: Annotated[tuple[tuple[float, ...], ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _same_dimension(self) -> Self:
        if len({len(seed) for seed in self.seeds}) > 1:
            raise ValueError("the seeds must all have the same dimension")
        if self.quantiles[-1] > 1:
            raise ValueError("the quantiles must be at most 1")
        return self


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

    jbt: JbtPilot | None = None
    simplicial: SimplicialPilot | None = None
    classifier: ClassifierPilot | None = None
    drs: DrsPilot | None = None
    mh: MhPilot | None = None
    dot: DotPilot | None = None
