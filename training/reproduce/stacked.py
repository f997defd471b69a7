"""Stacked MNIST: the table of the submission, and what the field counts beside it: modes covered, KL of the classes."""

from __future__ import annotations

import torch

from models.bundle import Bundle, load_bundle
from sampling.methods import METHODS
from training.data.catalog import load
from training.errors import TrainingRefused
from training.evaluation.blocks import Space, rows_of
from training.evaluation.report import spaces_of
from training.reproduce import images
from training.reproduce.measure import Row, draws
from training.reproduce.options import Options

NAME = "stacked-mnist"
CLASSES = 1_000
COUNTED: tuple[Row, ...] = (("prior", {}), ("latentrs", {}), ("latentga", {}), ("latentrsga", {}))
"""mh and sir would decode 26,000 samples ten to forty times over."""


def regenerate(options: Options) -> str:
    """The block for docs/results.md."""
    table = images.regenerate(NAME, options)
    bundle = load_bundle(images.bundle_for(NAME, options), options.device)
    return f"{table}\n\n{modes_table(bundle, options)}"


def modes_table(bundle: Bundle, options: Options) -> str:
    """Distinct classes of what each method draws, and KL(classes drawn, classes of the data), nats."""
    space = spaces_of(bundle)[-1]
    if space.network is None:
        raise TrainingRefused(f"{bundle.name} has no feature classifier to count modes with: run winnow train features")
    rows = [row for row in COUNTED if not METHODS[row[0]].missing(bundle)]
    drawn, _ = draws(bundle, rows, options.effort.mode_rows, options)
    data = load(NAME, "test").samples[: options.effort.mode_rows]
    sets = {"floor": data, **{name: found.samples for name, found in drawn.items()}}
    lines = ["| method | samples | modes covered | KL |", "| --- | --- | --- | --- |"]
    for name, samples in sets.items():
        classes = classes_in(space, samples, options.device)
        covered, divergence = modes_covered(classes), kl_to_uniform(classes)
        lines.append(f"| {name} | {len(samples):,} | {covered} of {CLASSES:,} | {divergence:.3f} |")
    return "\n".join(lines)


def classes_in(space: Space, samples: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Predicted classes [n]."""
    classes = rows_of(space, samples, device).classes
    assert classes is not None  # the space is a classifier's
    return classes


def modes_covered(classes: torch.Tensor) -> int:
    return len(classes.unique())


def kl_to_uniform(classes: torch.Tensor, count: int = CLASSES) -> float:
    """KL(shares of ``classes``, equal shares of ``count``), nats; log(count) for a single class. Biased upwards by
    about (count - 1) / 2n."""
    shares = classes.bincount(minlength=count).double() / len(classes)
    present = shares[shares > 0]
    return float((present * (present * count).log()).sum())
