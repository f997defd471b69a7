"""The submission's mixtures of 4, 9, 16 and 25 Gaussians: networks of 4 x 30, prior against latentRS."""

from __future__ import annotations

import torch

from models.bundle import load_bundle
from training.data.catalog import load
from training.data.dataset import Dataset
from training.metrics.hausdorff import average_hausdorff
from training.reproduce import page, published
from training.reproduce.measure import Measured, Row, draws, measure, references
from training.reproduce.options import Options
from training.reproduce.subject import generator_of, with_weights

MODES = (4, 9, 16, 25)
HIDDEN = (30, 30, 30, 30)
ROWS: tuple[Row, ...] = (("prior", {}), ("latentrs", {}))
METRICS = ("emd", "precision", "recall", "hausdorff_to_data", "energy_distance")


def regenerate(options: Options) -> str:
    """The block for docs/results.md."""
    return "\n\n".join(_mixture(modes, options) for modes in MODES)


def _mixture(modes: int, options: Options) -> str:
    paper = published.MIXTURES[modes]
    preset = f"mixture-{modes}"
    data = load(preset, "train"), load(preset, "test")
    measured = measured_mixture(preset, data, options)
    description = load_bundle(generator_of(preset, options)).manifest.description.rstrip(".")
    return "\n\n".join([
        f"### {modes} Gaussians",
        page.markdown(measured, paper, METRICS),
        f"Paper: {paper.source}. {paper.note}",
        page.facts({
            "n": measured.table.block_rows,
            "blocks": options.effort.blocks,
            "training seeds": 1,
            "objective": options.objective,
            "generator": description,
        }),
    ])  # fmt: skip


def measured_mixture(preset: str, data: tuple[Dataset, Dataset], options: Options) -> Measured:
    """Both rows and the floor, with the Hausdorff distance from generated to real rows beside the usual metrics."""
    weighted = with_weights(generator_of(preset, options), preset, data[0], options, HIDDEN)
    bundle, effort = load_bundle(weighted, options.device), options.effort
    n = effort.block_rows * effort.blocks
    measured = measure(bundle, ROWS, data, options, n, effort.blocks)
    real, floor = references(*data, n)
    drawn, _ = draws(bundle, ROWS, n, options)
    sets = {"floor": floor, **{name: found.samples for name, found in drawn.items()}}
    for name, samples in sets.items():
        measured.table.values[name]["hausdorff_to_data"] = _to_data(samples, real, effort.block_rows)
    return measured


def _to_data(samples: torch.Tensor, real: torch.Tensor, size: int) -> list[float]:
    pairs = zip(samples.split(size), real.split(size), strict=True)
    return [average_hausdorff(fake, block) for fake, block in pairs]
