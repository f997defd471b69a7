"""Settings of importance training: what every objective shares, what each adds (formulas: docs/training.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from models.importance import Activation, Head
from training.losses import GanLoss

Solver = Literal["exact", "sinkhorn"]
Kernel = Literal["euclidean", "laplace", "ladder"]
Schedule = Literal["constant", "cosine"]
SpaceName = Literal["features", "samples", "critic"]
Count = Annotated[int, Field(ge=1)]
Rows = Annotated[int, Field(ge=2)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Ranges that training.weights.options checks."""
FREQUENCIES, FEW_COORDINATES = 5, 4
"""On 25 Gaussians from two coordinates w of 3 x 128 fitted to one density ratio put 0.63 of its mass on the modes
without sines and cosines, 0.82 with 3 frequencies, 0.85 with 5 (the prior 0.45, the ratio itself 0.86; one seed)."""


def _none_or_two(rows: int) -> int:
    if rows == 1:
        raise ValueError("must be 0, or at least 2: a row has no distance to itself")
    return rows


ReferenceRows = Annotated[int, Field(ge=0), AfterValidator(_none_or_two)]


@dataclass(frozen=True)
class EnergyConfig:
    """Weighted energy distance, or its kernel form.

    ``kernel``: "laplace" is a sum of Laplace kernels at ``scales``, fractions of the median distance; "ladder" finds
    its own scales, from the median distance down to the nearest neighbour's, and adds the Euclidean distance.
    ``whiten`` divides out the real features' covariance. ``reference_rows``: generated rows that stand for all in the
    part of the loss that is computed once; without them (0) every part is estimated on the batch.
    """

    name: Literal["energy"] = "energy"
    kernel: Kernel = "euclidean"
    scales: tuple[Positive, ...] = (0.25, 0.5, 1.0)
    whiten: bool = False
    batch: Rows = 1_024
    mean_penalty: NotNegative = 0.03
    reference_rows: ReferenceRows = 20_000


@dataclass(frozen=True)
class TransportConfig:
    """Targets of capped optimal transport, fitted by cross-entropy.

    ``batches`` programs of ``real_rows`` data against ``real_rows * ratio`` generated samples, cost |x - y|^power.
    ``solver``: "exact" is a linear program on the CPU, "sinkhorn" its entropic form on any device, smoothed by
    ``regularisation`` times the mean cost. Against what a finite batch rewards in any generator:
    ``null_subtraction`` solves the same programs with generated samples in the data's place and takes the difference
    of the two fits; ``debiased_cost`` takes each sample's cost relative to its nearest neighbour in as many other
    generated samples; a larger ``ratio`` lets more samples share a real one.
    """

    name: Literal["transport"] = "transport"
    batches: Count = 48
    held_out_batches: Count = 6
    real_rows: Rows = 1_000
    ratio: Count = 1
    power: Positive = 1
    solver: Solver = "exact"
    regularisation: Positive = 0.02
    null_subtraction: bool = True
    debiased_cost: bool = False
    batch: Rows = 1_024


@dataclass(frozen=True)
class RatioConfig:
    """A density ratio between data and generated samples in feature space, calibrated, capped and distilled into w.

    Two classifiers of widths ``hidden``, each trained on one half of the rows and read on the other.
    """

    name: Literal["ratio"] = "ratio"
    hidden: tuple[Count, ...] = (256, 256, 256)
    steps: Count = 4_000
    check_every: Count = 100
    patience: Count = 6
    lr: Positive = 1e-3
    weight_decay: NotNegative = 1e-2
    classifier_batch: Rows = 512
    batch: Rows = 1_024


@dataclass(frozen=True)
class EnergyRatioConfig:
    """The energy objective with a pull towards the capped density ratio, as strong as that ratio's classifier is good.

    ``pull`` is the weight of the cross-entropy to the ratio's targets for a classifier that errs never; it is
    multiplied with the share of log 2 that the classifier takes off the log loss of rows it has not seen.
    """

    name: Literal["energy-ratio"] = "energy-ratio"
    pull: NotNegative = 0.1
    energy: EnergyConfig = field(default_factory=lambda: EnergyConfig(kernel="ladder"))
    ratio: RatioConfig = field(default_factory=RatioConfig)


@dataclass(frozen=True)
class LeastSquaresConfig:
    """A density ratio of least squared error (uLSIF) in a random basis of feature space, clipped and distilled into w.

    ``functions`` cosines, as wide as ``width`` times the median distance of real rows; ``ridge`` in units of the sum of
    their variances over ``fit_rows`` generated rows.
    """

    name: Literal["least-squares"] = "least-squares"
    functions: Count = 2_000
    width: Positive = 1.0
    ridge: Positive = 5e-5
    fit_rows: Rows = 60_000
    batch: Rows = 2_048


@dataclass(frozen=True)
class EnergyLeastSquaresConfig:
    """The energy objective with a pull towards the density ratio of least squares.

    ``pull`` is the weight of the cross-entropy to the ratio's targets.
    """

    name: Literal["energy-least-squares"] = "energy-least-squares"
    pull: NotNegative = 0.1
    energy: EnergyConfig = field(default_factory=lambda: EnergyConfig(kernel="ladder"))
    ratio: LeastSquaresConfig = field(default_factory=LeastSquaresConfig)


@dataclass(frozen=True)
class AdversarialConfig:
    """The game of Issenhuth et al. 2022. ``reward`` "minimum" subtracts the batch minimum as printed;
    "self-normalised" is invariant to the scale of w and feeds the critic w / mean(w)."""

    name: Literal["adversarial"] = "adversarial"
    loss: GanLoss = "hinge"
    reward: Literal["minimum", "self-normalised"] = "self-normalised"
    n_critic: Count = 1
    n_weight: Count = 1
    lr_critic: Positive = 4e-4
    betas: tuple[NotNegative, NotNegative] = (0.5, 0.5)
    penalty: NotNegative = 10.0
    mean_penalty: NotNegative = 10.0
    clip_penalty: NotNegative = 3.0
    warm_up: Annotated[int, Field(ge=0)] = 0
    batch: Rows = 64


Objective = (
    EnergyConfig
    | TransportConfig
    | RatioConfig
    | EnergyRatioConfig
    | LeastSquaresConfig
    | EnergyLeastSquaresConfig
    | AdversarialConfig
)


@dataclass(frozen=True)
class WeightsConfig:
    """Everything importance training depends on besides the data, the generator and the feature space.

    ``hidden``: 3 x 128 costs an eleventh of the published 4 x 400 and gained 19% of FID where that gained 20% (energy
    objective, 40,000 latents of a Fashion-MNIST generator, independent features, training rows).
    ``normalise``: after training shift the output bias of a bounded head until E[w] = 1 on fresh latents.
    ``activation`` of the hidden layers, ``negative_slope`` of "leaky_relu".
    ``schedule`` of the learning rate over ``steps``: "cosine" falls to zero, and rises again in a run that goes on.
    ``patience``: stop a "constant" one after this many validations without a better held-out energy distance.
    ``betas`` of the optimizer of w. ``spaces``: what distances are taken in, each space counting alike.
    ``start``: train with these settings first, on the same network, and go on from there.
    ``preset``: the name that bundle and reports carry; the objective's own without it.
    ``frequencies``: of sines and cosines that w sees beside the latent; None is 5 up to four coordinates, else 0.
    """

    objective: Objective = field(default_factory=EnergyConfig)
    hidden: tuple[int, ...] = (64, 64, 64)
    activation: Activation = "leaky_relu"
    negative_slope: float = 0.2
    head: Head = "bounded"
    cap: float = 3.0
    lr: float = 1e-3
    schedule: Schedule = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    ema_decay: float = 0.99
    steps: int = 1_500
    validate_every: int = 100
    patience: int = 5
    normalise: bool = True
    spaces: tuple[SpaceName, ...] = ("features",)
    pool_rows: int = 200_000
    held_out_rows: int = 8_192
    held_out_real: int = 10_000
    seed: int = 0
    start: WeightsConfig | None = None
    preset: str = ""
    frequencies: Annotated[int, Field(ge=0)] | None = None

    @property
    def name(self) -> str:
        return self.preset or self.objective.name

    def frequencies_in(self, latent_dim: int) -> int:
        """``frequencies``, or what suits latents of ``latent_dim`` coordinates."""
        if self.frequencies is not None:
            return self.frequencies
        return FREQUENCIES if latent_dim <= FEW_COORDINATES else 0
