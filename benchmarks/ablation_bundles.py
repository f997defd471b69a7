"""The ablation on a bundle's generator: each objective trained with several seeds, judged on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from models.bundle import Bundle, load_bundle
from training.data.catalog import load
from training.data.dataset import Dataset
from training.draws import Shelf, fingerprint
from training.evaluation.blocks import Rows, rows_of
from training.evaluation.compare import BLOCKS, compare
from training.evaluation.report import SHUFFLE_SEED, shuffled, spaces_of
from training.metrics.fid import fit_gaussian, frechet_distance
from training.metrics.intervals import student_interval
from training.pipeline import problem_of
from training.presets import WEIGHTS_PRESETS
from training.weights.config import EnergyConfig, TransportConfig, WeightsConfig
from training.weights.held_out import HeldOutEnergy
from training.weights.kernels import discrepancy
from training.weights.problem import Pool, make_pool
from training.weights.train import train_weights

CPU = torch.device("cpu")
SEED = 60_000
"""Of the latents that w are judged on: each training seed has its own, all objectives of a seed the same."""
LATENTS_PER_REAL, LEAST_LATENTS = 6, 20_000
"""Of three latents one is accepted: twice the real rows are left."""
DISTANCE_ROWS = 8_192
"""All their pairs are held at once: 256 MiB."""
PLANE = ("gaussians-25", "swiss-roll")
COUNTED = {"emd_squared": "EMD, power 2", "precision": "precision", "recall": "recall"}
"""Of accepted samples, as many as real rows."""
WEIGHTED = {"fid": "FID", "distance": "energy x 1000"}
PLANE_WEIGHTED = {"distance": "ladder x 1000"}
"""Of all latents, each with its weight. The FID of points would be that of one Gaussian to another."""
UNITS = {"distance": 1e3}


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
    metrics = bench.metrics
    titles = ["objective", *metrics.values(), "held-out x 1000", "flat", "minutes"]
    lines = [titles, ["---"] * len(titles)]
    prior = {metric: fmean(run["prior"][metric] for run in runs[objectives[0]]) for metric in metrics}
    lines.append(["prior", *(_number(prior[metric], metric) for metric in metrics), "", "", ""])
    lines.append(["real data", *(_number(bench.floor[metric], metric) for metric in metrics), "", "", ""])
    for name, found in runs.items():
        cells = [_change([run["ours"][metric] - run["prior"][metric] for run in found], metric) for metric in metrics]
        held = sum(run["held_out"] for run in found) / seeds * 1e3
        flat, minutes = sum(run["flat"] for run in found), sum(run["seconds"] for run in found) / seeds / 60
        lines.append([f"`{name}`", *cells, f"{held:.2f}", f"{flat} of {seeds}", f"{minutes:.1f}"])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    unweighted = runs[objectives[0]][0]["unweighted"] * 1e3
    settings = sizes.settings(objectives[0], 0)
    note = (
        f"**{bundle.name}**, space {bench.space.name}: difference to the prior on the same latents, {seeds} training "
        f"seeds with latents of their own, 97% Student interval over them; {len(test):,} test rows. "
        f"{' and '.join(bench.weighted.values())}: {bench.latents:,} latents (of the distance {DISTANCE_ROWS:,}), each "
        f"with its weight; the others: accepted samples, {BLOCKS} blocks. Held-out: the discrepancy that selects, "
        f"{unweighted:.2f} for w = 1; flat: runs that found nothing better than w = 1. {len(train):,} training rows, a "
        f"pool of {settings.pool_rows:,}, at most {settings.steps:,} steps."
    )
    return f"{note}\n\n{table}"


@dataclass(frozen=True)
class Latents:
    """Of one training seed, decoded once: what every w of that seed is judged on.

    ``uniforms`` [n] decide what is accepted, the same for every w; ``judge`` has the first DISTANCE_ROWS of ``pool``.
    """

    pool: Pool
    uniforms: torch.Tensor
    judge: HeldOutEnergy


class Bench:
    """One bundle under measurement."""

    def __init__(self, bundle: Bundle, train: Dataset, test: Dataset, shelf: Shelf, keep: Path | None) -> None:
        self.bundle, self.train, self.test, self.shelf, self.keep = bundle, train, test, shelf, keep
        self.space = spaces_of(bundle)[-1]
        self.latents = max(LEAST_LATENTS, LATENTS_PER_REAL * len(test))
        self.weighted = PLANE_WEIGHTED if self.space.network is None else WEIGHTED
        self.metrics = {**self.weighted, **COUNTED}
        self._latents: dict[int, Latents] = {}

    @cached_property
    def real(self) -> Rows:
        return rows_of(self.space, shuffled(self.test).samples, CPU)

    @cached_property
    def floor(self) -> dict[str, float]:
        """Of training rows in the generated ones' place, as many where there are."""
        name = f"floor {len(self.train)} {len(self.test)}"
        kept = self.shelf.result(name)
        if kept is None:
            rows = rows_of(self.space, _first(self.train, self.latents).samples, CPU).features
            kept = self.values(self._judged(Pool(rows, rows)), torch.ones(len(rows)), 1.0)
            self.shelf.keep_result(name, kept)
        return kept

    def judge(self, objective: str, seed: int, sizes: Sizes) -> dict[str, Any]:
        """Train (or read from the shelf) and measure: each metric with w = 1 and with the weights."""
        config = sizes.settings(objective, seed)
        name = f"{objective} {seed} same-latents {len(self.train)} {len(self.test)} {fingerprint(config)}"
        kept = self.shelf.result(name)
        if kept is None:
            kept = self._measure(config)
            self.shelf.keep_result(name, kept)
            print(f"{name}: {kept}", flush=True)
        return kept

    def _measure(self, config: WeightsConfig) -> dict[str, Any]:
        problem = problem_of(self.bundle, self.train, CPU)
        start = perf_counter()
        with TemporaryDirectory() as folder, redirect_stderr(StringIO()):
            pools = self.keep / f"pools-{self.bundle.name}-{config.seed}" if self.keep else None
            trained = train_weights(config, problem, Path(folder), pools)
        seconds = perf_counter() - start
        latents = self.latents_of(config.seed)
        with torch.no_grad():
            cap = trained.network.cap
            weights = trained.network(latents.pool.latents).clamp(max=cap)
        return {
            "prior": self.values(latents, torch.ones(len(weights)), cap),
            "ours": self.values(latents, weights, cap),
            "held_out": trained.held_out,
            "unweighted": trained.unweighted,
            "flat": trained.flat,
            "seconds": seconds,
        }

    def latents_of(self, seed: int) -> Latents:
        if seed not in self._latents:
            problem = replace(problem_of(self.bundle, self.train, CPU), features=self.space.network)
            with redirect_stderr(StringIO()):
                pool = make_pool(problem, self.latents, SEED + seed)
            self._latents[seed] = self._judged(pool, seed)
        return self._latents[seed]

    def _judged(self, pool: Pool, seed: int = 0) -> Latents:
        real = self.real.features
        rho = torch.cdist if self.space.network is not None else discrepancy(EnergyConfig(kernel="ladder"), real)
        some = Pool(pool.latents[:DISTANCE_ROWS], pool.features[:DISTANCE_ROWS])
        uniforms = torch.rand(len(pool), generator=torch.Generator().manual_seed(SEED + seed))
        return Latents(pool, uniforms, HeldOutEnergy(some, real, rho))

    def values(self, latents: Latents, weights: torch.Tensor, cap: float) -> dict[str, float]:
        """Every metric under the law of ``weights`` [n], at most ``cap``, times the prior."""
        features = latents.pool.features
        found = {"distance": latents.judge.distance(weights[:DISTANCE_ROWS])}
        if "fid" in self.weighted:
            found["fid"] = frechet_distance(fit_gaussian(self.real.features), fit_gaussian(features, "fake", weights))
        accepted = features[latents.uniforms < weights / cap][: len(self.real.features)]
        values = compare(self.real, replace(self.real, features=accepted, classes=None), {}).values["floor"]
        return found | {metric: fmean(values[metric]) for metric in COUNTED}


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
