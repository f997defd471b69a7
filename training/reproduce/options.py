"""How a table is made: where its work is kept, on which device, and at what effort."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from training.classifier import ClassifierConfig
from training.presets import DEFAULT_FOR_PLANE, WEIGHTS_PRESETS
from training.weights.config import EnergyConfig, EnergyRatioConfig, TransportConfig, WeightsConfig

SEED = 40_000
"""Of what is drawn for tables; benchmarks.methods uses it too, so that both find each other's draws below --keep."""


@dataclass(frozen=True)
class Effort:
    """Rows, steps and blocks. ``gan_steps`` None: those of the GAN's preset. ``real_rows``: data that w reads.
    ``program_rows``: of each transport program. ``mode_rows``: samples that the modes of Stacked MNIST are counted in,
    26,000 in the literature. ``folder``: below --keep, for efforts never go on from each other's work.

    A block of 1,000 is the n at which the papers' 2-D numbers fit (see W2 in published); ten make a test split.
    """

    folder: str = ""
    block_rows: int = 1_000
    blocks: int = 10
    sweep_blocks: int = 5
    gan_steps: int | None = None
    weight_steps: int = 1_500
    ratio_steps: int = 4_000
    pool_rows: int = 200_000
    real_rows: int = 60_000
    program_rows: int = 1_000
    mode_rows: int = 26_000
    attainable_steps: int = 150
    classifier: ClassifierConfig = field(default_factory=lambda: ClassifierConfig(steps=10_000))


FULL = Effort()
QUICK = Effort(
    folder="quick",
    block_rows=60,
    blocks=4,
    sweep_blocks=2,
    gan_steps=40,
    weight_steps=20,
    ratio_steps=20,
    pool_rows=1_000,
    real_rows=1_000,
    program_rows=40,
    mode_rows=200,
    attainable_steps=20,
    classifier=ClassifierConfig(steps=500, critic_steps=10, lr=5e-3, held_out_rows=1_000, validate_every=100),
)
"""To see that a table can be made; its numbers mean nothing."""

OBJECTIVES: dict[str, WeightsConfig] = {
    **WEIGHTS_PRESETS,
    "laplace-fine": WeightsConfig(EnergyConfig(kernel="laplace", scales=(0.02, 0.05, 0.15, 0.5)), patience=20),
}
"""``laplace-fine``: scales set by hand for the plane, the finest as wide as one of 25 modes."""


@dataclass(frozen=True)
class Options:
    """``bundle``: the generator of an image table, with its networks; None trains by the recipe."""

    keep: Path
    device: torch.device
    effort: Effort = FULL
    objective: str = DEFAULT_FOR_PLANE
    bundle: Path | None = None
    rows: int | None = None

    @property
    def work(self) -> Path:
        """Where what depends on the effort is kept; recipes do not."""
        return self.keep / self.effort.folder

    def weights(self, hidden: tuple[int, ...]) -> WeightsConfig:
        """The objective's settings at this effort."""
        config, steps = OBJECTIVES[self.objective], self.effort.weight_steps
        if isinstance(config.objective, EnergyRatioConfig):
            ratio = replace(config.objective.ratio, steps=self.effort.ratio_steps)
            config = replace(config, objective=replace(config.objective, ratio=ratio))
        if isinstance(config.objective, TransportConfig):
            config = replace(config, objective=replace(config.objective, real_rows=self.effort.program_rows))
        return replace(
            config,
            hidden=hidden,
            steps=steps,
            validate_every=max(1, steps // 10),
            pool_rows=self.effort.pool_rows,
            held_out_rows=min(4_096, self.effort.pool_rows),
            held_out_real=5_000,
        )
