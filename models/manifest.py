"""``bundle.json``: what a bundle says of itself, validated."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.importance import Head
from models.pilot import Pilot
from models.priors import PriorKind

SCHEMA_VERSION = 1
NetworkRole = Literal[
    "generator", "importance", "critic", "classifier", "wasserstein_critic", "features", "features_independent"
]
GateVerdict = Literal["passed", "rejected", "unchecked"]
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PriorSpec(_Strict):
    """Law of the latent: ``normal`` N(0, I) or ``uniform`` on [-1, 1]."""

    kind: PriorKind
    dim: Annotated[int, Field(ge=1)]


OutputKind = Literal["image", "points"]


class OutputSpec(_Strict):
    """What the generator returns per sample: an image (C, H, W) in ``range``, or a point (dim,)."""

    kind: OutputKind
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    range: tuple[float, float] | None = None


class NetworkSpec(_Strict):
    """One network: architecture name, its configuration, and the sha256 of its .safetensors file."""

    architecture: str
    config: dict[str, Any]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ImportanceSpec(_Strict):
    """How to read w: its head, the cap m, the objective that trained it, the space it reads, what the gate said.

    ``verdict``: of the quality gate at the end of training, ``reason`` in one sentence; a bundle that says nothing was
    not checked.
    """

    head: Head
    cap: Annotated[float, Field(gt=1)]
    objective: str
    space: Literal["z", "mapped"] = "z"
    verdict: GateVerdict = "unchecked"
    reason: str | None = None


class Calibration(_Strict):
    """w on fresh latents: measured once when the bundle was made."""

    rows: Annotated[int, Field(ge=1)]
    seed: int
    mean_weight: Annotated[float, Field(gt=0)]
    share_above_cap: Annotated[float, Field(ge=0, le=1)]
    acceptance_rate: Annotated[float, Field(gt=0, le=1)]
    effective_sample_size: Annotated[float, Field(gt=0, le=1, description="(sum w)^2 / (n sum w^2)")]
    weight_quantiles: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...],
        Field(min_length=2, description="at evenly spaced levels, from the least weight (0) to the largest (1)"),
    ]

    @field_validator("weight_quantiles")
    @classmethod
    def _ascend(cls, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        if any(later < earlier for earlier, later in pairwise(quantiles)) or quantiles[-1] <= 0:
            raise ValueError("the quantiles of w must ascend to a positive largest weight")
        return quantiles


Defaults = dict[str, dict[str, float | int | str]]
"""Settings by method that a bundle wants in the place of the usual ones."""


class Manifest(_Strict):
    """The whole of ``bundle.json``."""

    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    version: str
    licence: str
    description: str
    prior: PriorSpec
    output: OutputSpec
    networks: dict[NetworkRole, NetworkSpec]
    importance: ImportanceSpec | None = None
    calibration: Calibration | None = None
    pilot: Pilot = Pilot()
    defaults: Defaults = {}
