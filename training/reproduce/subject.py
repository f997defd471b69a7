"""The generators that tables are made on: GAN, networks of the baselines, weights; each step kept and resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from training import build
from training.data.catalog import load
from training.data.dataset import Dataset
from training.gan import CONFIG, GanConfig, train_gan
from training.pipeline import gan_bundle, snapshots
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
    config, run = gan_config(preset, options), options.work / "gan" / preset
    data, every = load(config.data, "train"), snapshot_every(config.steps)
    build.resumed_or_anew(run, partial(train_gan, config, data, run, options.device, snapshot_every=every))
    return run


def snapshot_every(steps: int) -> int:
    return max(1, steps // CHECKPOINTS)


def steps_of(run: Path) -> dict[str, int]:
    """Generator steps of the early, middle and final checkpoint of a run: of its schedule, whatever lies there."""
    steps = int(json.loads((run / CONFIG).read_text())["steps"])
    found = [step for step in snapshots(run) if step == steps or (step % snapshot_every(steps) == 0 and step < steps)]
    return {"early": found[0], "middle": found[(len(found) - 1) // 2], "final": found[-1]}


def generator_of(preset: str, options: Options, step: int | None = None) -> Path:
    """A bundle of generator and critic alone; ``step``: of a snapshot, the end of training without it."""
    run = train(preset, options)
    out = options.work / "base" / (preset if step is None else f"{preset}-{step}")
    gan_bundle(run, out, None if step is None else snapshots(run)[step])
    return out


def with_baselines(source: Path, data: Dataset, options: Options) -> Path:
    """``source`` with classifier, Wasserstein critic and the constants of drs, mh, sir and dot."""
    folder = options.work / "baselines" / source.name
    return build.with_classifier(options.effort.classifier, folder, source, data, options.device)


def with_weights(source: Path, name: str, data: Dataset, options: Options, hidden: tuple[int, ...]) -> Path:
    """``source`` with importance weights of the chosen objective, in a folder of the objective's own."""
    settings, run = options.weights(hidden), options.work / options.objective / name
    pools = options.work / "pools" / name
    return build.with_weights(settings, run, source, part_of(data, options), options.device, pools)


def part_of(data: Dataset, options: Options) -> Dataset:
    """A fixed random part of the training data: what importance training reads."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SUBSET_SEED))
    return data.subset(order[: options.effort.real_rows])
