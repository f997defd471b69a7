"""The generators that tables are made on: GAN, networks of the baselines, weights; each step kept and resumed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from training.build import is_current, with_classifier
from training.data.catalog import load
from training.data.dataset import Dataset
from training.gan import GanConfig, train_gan
from training.pipeline import gan_bundle, snapshots, weights_bundle
from training.presets import GAN_PRESETS
from training.reproduce.options import Options

CHECKPOINTS = 4
"""Snapshots of a run: the first, the second and the last are its early, middle and final generator."""
SUBSET_SEED = 8


def gan_config(preset: str, options: Options) -> GanConfig:
    config = GAN_PRESETS[preset]
    return config if options.effort.gan_steps is None else replace(config, steps=options.effort.gan_steps)


def train(preset: str, options: Options) -> Path:
    """The GAN run of ``preset``, trained to its end."""
    config, run = gan_config(preset, options), options.keep / "gan" / preset
    data = load(config.data, "train")
    train_gan(config, data, run, options.device, snapshot_every=max(1, config.steps // CHECKPOINTS))
    return run


def steps_of(run: Path) -> dict[str, int]:
    """Generator steps of the early, middle and final checkpoint of a run."""
    found = list(snapshots(run))
    return {"early": found[0], "middle": found[(len(found) - 1) // 2], "final": found[-1]}


def generator_of(preset: str, options: Options, step: int | None = None) -> Path:
    """A bundle of generator and critic alone; ``step``: of a snapshot, the end of training without it."""
    run = train(preset, options)
    out = options.keep / "base" / (preset if step is None else f"{preset}-{step}")
    gan_bundle(run, out, None if step is None else snapshots(run)[step])
    return out


def with_baselines(source: Path, data: Dataset, options: Options) -> Path:
    """``source`` with classifier, Wasserstein critic and the constants of drs, mh, sir and dot."""
    folder = options.keep / "baselines" / source.name
    return with_classifier(options.effort.classifier, folder, source, data, options.device)


def with_weights(source: Path, name: str, data: Dataset, options: Options, hidden: tuple[int, ...]) -> Path:
    """``source`` with importance weights of the chosen objective, in a folder of the objective's own."""
    settings, run = options.weights(hidden), options.keep / options.objective / name
    if not is_current(run, settings, source):
        shutil.rmtree(run / "bundle", ignore_errors=True)
        weights_bundle(settings, source, part_of(data, options), run, options.device, options.keep / "pools" / name)
    return run / "bundle"


def part_of(data: Dataset, options: Options) -> Dataset:
    """A fixed random part of the training data: what importance training reads."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SUBSET_SEED))
    return data.subset(order[: options.effort.real_rows])
