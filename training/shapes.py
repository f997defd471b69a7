"""Whether data and networks belong together, found out before training or measuring rather than in the middle."""

from __future__ import annotations

import torch

from models.bundle import Bundle
from models.registry import build
from training.data.dataset import DataError, Dataset
from training.evaluation.compare import BLOCKS
from training.gan import GanConfig

LEAST_BLOCK = 6  # of the metrics, coverage needs most: more than the three neighbours of each row


def check_gan_fits(config: GanConfig, data: Dataset) -> None:
    """Raises DataError when the generator of ``config`` makes samples of another shape than ``data`` has."""
    generator = build(config.generator, {"latent_dim": config.latent_dim, **config.generator_config}).eval()
    with torch.no_grad():
        shape = tuple(generator(torch.zeros(1, config.latent_dim)).shape[1:])
    _check_shape(data, shape, "the preset's generator")


def check_bundle_fits(bundle: Bundle, *parts: Dataset) -> None:
    """Raises DataError when ``bundle`` makes samples of another shape than one of ``parts`` has."""
    for data in parts:
        _check_shape(data, bundle.manifest.output.shape, f"the bundle {bundle.name}")


def check_enough_to_measure(train: Dataset, test: Dataset) -> None:
    """Raises DataError when the blocks of a report would hold fewer rows than its metrics need."""
    least = BLOCKS * LEAST_BLOCK
    for split, rows, needed in (("test", len(test), least), ("train", len(train), least + 1)):
        if rows < needed:
            raise DataError(f"{test.name}: the {split} split has {rows} rows, a report needs at least {needed}")


def check_classifier_data(*parts: Dataset) -> None:
    """Raises DataError unless each of ``parts`` is labelled and all samples have one shape."""
    for data in parts:
        if data.labels is None:
            raise DataError(f"{data.name}: feature classifiers need labels; without labels leave this step out")
        _check_shape(data, tuple(parts[0].samples.shape[1:]), "the train split")


def _check_shape(data: Dataset, shape: tuple[int, ...], maker: str) -> None:
    got = tuple(data.samples.shape[1:])
    if got != tuple(shape):
        raise DataError(f"{data.name} has samples of shape {got}, {maker} has {tuple(shape)}; use other data")
