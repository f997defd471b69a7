"""The ablation on a bundle's generator: each objective trained with several seeds, judged on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from models.bundle import Bundle, load_bundle
from sampling.draw import Draw
from sampling.latentrs import sample_latentrs
from sampling.prior import sample_prior
from sampling.streams import BlockStream
from training.data.catalog import load
from training.data.dataset import Dataset
from training.draws import Shelf, fingerprint
from training.evaluation.blocks import rows_of
from training.evaluation.compare import BLOCKS, compare
from training.evaluation.drawing import decode, stream_seed
from training.evaluation.report import SHUFFLE_SEED, floor_of, shuffled, spaces_of
from training.metrics.intervals import student_interval
from training.pipeline import problem_of
from training.presets import WEIGHTS_PRESETS
from training.weights.config import TransportConfig, WeightsConfig
from training.weights.train import train_weights

CPU = torch.device("cpu")
SEED = 60_000
"""Of what is drawn for a table: each training seed has a prior of its own, each objective of a seed its own draw."""
BLOCK = 4_096
GENERATED_PER_REAL = 4
PLANE = ("gaussians-25", "swiss-roll")
METRICS = {"fid": "FID", "kid": "KID x 1000", "energy_distance": "energy x 1000", "precision": "precision",
           "recall": "recall", "emd_squared": "EMD, power 2"}  # fmt: skip
UNITS = {"kid": 1e3, "energy_distance": 1e3}


@dataclass(frozen=True)
class Sizes:
    """What a run is cut down to; None leaves it whole."""

    steps: int | None = None
    pool_rows: int | None = None
    real_rows: int | None = None
    test_rows: int | None = None
    programs: int | None = None
    hidden: Sequence[int] | None = None

    def settings(self, objective: str, seed: int) -> WeightsConfig:
        config = replace(WEIGHTS_PRESETS[objective], seed=seed)
        if self.steps:
            config = replace(config, steps=min(self.steps, config.steps))
        if self.pool_rows:
            config = replace(config, pool_rows=min(self.pool_rows, config.pool_rows))
        if self.hidden:
            config = replace(config, hidden=tuple(self.hidden))
        if self.programs and isinstance(config.objective, TransportConfig):
            held = min(config.objective.held_out_batches, self.programs // 4)
            config = replace(
                config, objective=replace(config.objective, batches=self.programs, held_out_batches=max(1, held))
            )
        return config


def plane_bundles() -> list[tuple[Path, str]]:
    """The 2-D bundles that are there."""
    return [(Path("bundles") / name, name) for name in PLANE if (Path("bundles") / name).exists()]


def bundle_page(folder: Path, data: str, objectives: list[str], seeds: int, sizes: Sizes, keep: Path | None) -> str:
    """One line an objective: its difference to the prior, interval over training seeds."""
    bundle = load_bundle(folder, CPU)
    train, test = load(data, "train"), load(data, "test")
    train, test = _first(train, sizes.real_rows), _first(test, sizes.test_rows)
    shelf = Shelf(keep / f"{bundle.name}-{bundle.digest[:12]}" if keep else None)
    bench = Bench(bundle, train, test, shelf, keep)
    runs = {name: [bench.judge(name, seed, sizes) for seed in range(seeds)] for name in objectives}
    titles = ["objective", *METRICS.values(), "held-out x 1000", "flat", "minutes"]
    lines = [titles, ["---"] * len(titles)]
    prior = {m: fmean(bench.prior(seed)[m] for seed in range(seeds)) for m in METRICS}
    lines.append(["prior", *(_number(prior[m], m) for m in METRICS), "", "", ""])
    lines.append(["real data", *(_number(bench.floor[m], m) for m in METRICS), "", "", ""])
    for name, found in runs.items():
        cells = [_change([run["change"][metric] for run in found], metric) for metric in METRICS]
        held = sum(run["held_out"] for run in found) / seeds * 1e3
        flat, minutes = sum(run["flat"] for run in found), sum(run["seconds"] for run in found) / seeds / 60
        lines.append([f"`{name}`", *cells, f"{held:.2f}", f"{flat} of {seeds}", f"{minutes:.1f}"])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    unweighted = runs[objectives[0]][0]["unweighted"] * 1e3
    note = (
        f"**{bundle.name}**, space {spaces_of(bundle)[-1].name}: difference to the prior, {seeds} training seeds, 97% "
        f"Student interval over them, latents drawn anew for each; {len(test):,} test rows in {BLOCKS} blocks, "
        f"{GENERATED_PER_REAL} generated rows to each; held-out: the discrepancy that selects, {unweighted:.2f} for "
        f"w = 1; flat: runs that found nothing better than w = 1. {len(train):,} training rows, a pool of "
        f"{sizes.settings(objectives[0], 0).pool_rows:,}, at most {sizes.settings(objectives[0], 0).steps:,} steps."
    )
    return f"{note}\n\n{table}"


class Bench:
    """One bundle under measurement; the floor is measured once, the prior once a training seed.

    A prior that all seeds shared would put its noise into every difference and into no interval.
    """

    def __init__(self, bundle: Bundle, train: Dataset, test: Dataset, shelf: Shelf, pools: Path | None) -> None:
        self.bundle, self.train, self.shelf, self.pools = bundle, train, shelf, pools
        self.space = spaces_of(bundle)[-1]
        self.real = rows_of(self.space, shuffled(test).samples, CPU)
        self.rows = GENERATED_PER_REAL * len(test)
        self.other = rows_of(self.space, floor_of(train, len(test)).samples, CPU)
        self._priors: dict[int, dict[str, float]] = {}
        floor = compare(self.real, self.other, {}).values["floor"]
        self.floor = {metric: fmean(floor[metric]) for metric in METRICS}

    def prior(self, seed: int) -> dict[str, float]:
        """Mean of each metric over the blocks, of the prior drawn for this training seed."""
        if seed not in self._priors:
            self._priors[seed] = self._means(sample_prior(self.bundle.prior, None, self.rows, _stream(seed)))
        return self._priors[seed]

    def judge(self, objective: str, seed: int, sizes: Sizes) -> dict[str, Any]:
        """Train (or read from the shelf) and measure: mean change of each metric over the blocks."""
        config = sizes.settings(objective, seed)
        name = f"{objective} {seed} own-prior {len(self.train)} {len(self.real.features)} {fingerprint(config)}"
        kept = self.shelf.result(name)
        if kept is None:
            kept = self._measure(config, list(WEIGHTS_PRESETS).index(objective))
            self.shelf.keep_result(name, kept)
            print(f"{name}: {kept}", flush=True)
        return kept

    def _measure(self, config: WeightsConfig, objective: int) -> dict[str, Any]:
        problem = problem_of(self.bundle, self.train, CPU)
        start = perf_counter()
        with TemporaryDirectory() as folder, redirect_stderr(StringIO()):
            pools = self.pools / f"pools-{self.bundle.name}-{config.seed}" if self.pools else None
            trained = train_weights(config, problem, Path(folder), pools)
        seconds = perf_counter() - start
        stream = _stream(config.seed, 1 + objective)
        ours = self._means(sample_latentrs(self.bundle.prior, trained.network, self.rows, stream))
        prior = self.prior(config.seed)
        return {
            "change": {metric: ours[metric] - prior[metric] for metric in METRICS},
            "held_out": trained.held_out,
            "unweighted": trained.unweighted,
            "flat": trained.flat,
            "seconds": seconds,
        }

    def _means(self, drawn: Draw) -> dict[str, float]:
        """Of each metric over the blocks."""
        rows = rows_of(self.space, decode(self.bundle, drawn), CPU)
        values = compare(self.real, self.other, {"ours": rows}).values["ours"]
        return {metric: fmean(values[metric]) for metric in METRICS}


def _stream(seed: int, index: int = 0) -> BlockStream:
    """Of the training seed ``seed``: 0 for the prior, then the objectives."""
    return BlockStream(stream_seed(SEED + seed, index), BLOCK)


def _first(data: Dataset, rows: int | None) -> Dataset:
    """A fixed random subset: files may come sorted by class."""
    if rows is None or rows >= len(data):
        return data
    return data.subset(torch.randperm(len(data), generator=torch.Generator().manual_seed(SHUFFLE_SEED))[:rows])


def _number(value: float, metric: str) -> str:
    return f"{value * UNITS.get(metric, 1):.3f}"


def _change(values: list[float], metric: str) -> str:
    interval = student_interval([value * UNITS.get(metric, 1) for value in values])
    return f"{interval.mean:+.3f} ± {interval.half_width:.3f}"
