"""One command under 8 minutes: train, sample and measure on whatever device is there; writes a dated JSON file.

    make gpu-check                    (or: python -m benchmarks.gpu_check --device cpu --scale 0.02)

GAN, throughput, engine and large generators have budgets of seconds; the weights have a number of steps, which --scale
cuts. The numbers say that the code runs there and how fast; they are no quality claim, the networks are trained for two
minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn.functional import interpolate

from benchmarks.gpu_serving import large_generators, served
from models.importance import ImportanceNetwork
from sampling.latentrs import sample_latentrs
from sampling.prior import sample_prior
from sampling.streams import BlockStream
from service.engine.devices import keep_bits
from training.data.catalog import load
from training.data.dataset import DataError, Dataset
from training.device import choose_device
from training.gan import GanRun
from training.metrics.discrepancy import energy_distance
from training.metrics.intervals import student_interval
from training.presets import GAN_PRESETS, WEIGHTS_PRESETS
from training.weights.config import EnergyConfig
from training.weights.problem import Problem
from training.weights.train import train_weights

GAN_SECONDS, THROUGHPUT_SECONDS = 120.0, 60.0
ENGINE_SECONDS, LARGE_SECONDS = 40.0, 20.0
"""For one bundle; for one size."""
BUNDLES = [Path("bundles/fashion-mnist")]
POOL_ROWS = 50_000
PAIRS = 20
PROPOSALS = 4_096
IMAGES = 4_096
FEATURE_ROWS = 4_096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the dated result file")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full budgets")
    args = parser.parse_args()
    device = choose_device(args.device)
    result = check(device, args.scale)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"gpu-check-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"written to {path}")
    return 0


def check(device: torch.device, scale: float) -> dict[str, Any]:
    """All phases on ``device``; ``scale`` shortens budgets and row counts."""
    started = time.monotonic()
    keep_bits([device])  # as the engine will: with what cuBLAS is told before its first call
    data = images28()
    run, gan = train_generator(data, device, GAN_SECONDS * scale)
    generator = run.ema.eval()
    problem = Problem(run.prior, generator, None, data, device, run.critic)
    importance, weights = train_importance(problem, scale)
    rows = max(int(IMAGES * scale), 64)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "data": data.name,
        "scale": scale,
        "gan": gan,
        "weights": weights,
        "quality": quality(problem, importance, rows),
        "throughput": throughput(problem, importance, rows, THROUGHPUT_SECONDS * scale),
        "same_seed_same_latents": repeatable(problem, importance),
        "engine": served(BUNDLES, device, ENGINE_SECONDS * scale),
        "large_generators": large_generators(device, LARGE_SECONDS * scale),
        "seconds": time.monotonic() - started,
    }


def images28() -> Dataset:
    """Fashion-MNIST where it is at hand, else scikit-learn's digits enlarged to 28x28."""
    try:
        return load("fashion-mnist", "train")
    except DataError:
        digits = load("digits", "train")
        enlarged = interpolate(digits.samples.float(), size=28, mode="bilinear").round().to(torch.uint8)
        return Dataset("digits-28", enlarged, digits.labels)


def train_generator(data: Dataset, device: torch.device, seconds: float) -> tuple[GanRun, dict[str, Any]]:
    """Steps of the Fashion-MNIST preset until the budget is spent."""
    run = GanRun(replace(GAN_PRESETS["fashion-mnist"], data=data.name), data, device)
    started = time.monotonic()
    loss: dict[str, torch.Tensor] = {}
    while time.monotonic() - started < seconds:
        loss = run.step()
    synchronise(device)
    elapsed = time.monotonic() - started
    finite = all(bool(torch.isfinite(value)) for value in loss.values())
    return run, {"steps": run.done, "steps_per_second": run.done / elapsed, "finite": finite}


def train_importance(problem: Problem, scale: float) -> tuple[ImportanceNetwork, dict[str, Any]]:
    """The energy objective on raw pixels."""
    pool = max(int(POOL_ROWS * scale), 2_000)
    config = replace(
        WEIGHTS_PRESETS["energy"],
        objective=EnergyConfig(batch=min(2_048, pool)),
        pool_rows=pool,
        held_out_rows=min(8_192, pool),
        held_out_real=max(int(10_000 * scale), 200),
        steps=max(int(500 * scale), 20),
        validate_every=max(int(100 * scale), 10),
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trained = train_weights(config, problem, Path(folder))
    network = trained.network.to(problem.device)
    return network, {
        "seconds": time.monotonic() - started,
        "held_out_energy_distance": {"unweighted": trained.unweighted, "trained": trained.held_out},
    }


@torch.no_grad()
def quality(problem: Problem, importance: ImportanceNetwork, rows: int) -> dict[str, float]:
    """Unbiased energy distance in raw pixels, prior and latentRS against training data."""
    index = torch.arange(min(FEATURE_ROWS, rows, len(problem.real)))
    real = problem.real.batch(index).flatten(1)
    stream = BlockStream(0, PROPOSALS, problem.device)
    base = sample_prior(problem.prior, None, rows, stream)
    kept = sample_latentrs(problem.prior, importance, rows, stream)
    return {
        "rows": rows,
        "acceptance_rate": kept.cost.acceptance_rate,
        "energy_distance_prior": energy_distance(real, problem.generate(base.latents).flatten(1).cpu()),
        "energy_distance_latentrs": energy_distance(real, problem.generate(kept.latents).flatten(1).cpu()),
    }


def throughput(problem: Problem, importance: ImportanceNetwork, rows: int, seconds: float) -> dict[str, Any]:
    """Time of latentRS over time of the prior for the same number of images, in interleaved pairs."""
    stream = BlockStream(0, PROPOSALS, problem.device)

    def prior() -> None:
        problem.generate(sample_prior(problem.prior, None, rows, stream).latents)

    def latentrs() -> None:
        problem.generate(sample_latentrs(problem.prior, importance, rows, stream).latents)

    for warm_up in (prior, latentrs):
        warm_up()
    ratios: list[float] = []
    rates: list[float] = []
    started = time.monotonic()
    while len(ratios) < PAIRS and (len(ratios) < 2 or time.monotonic() - started < seconds):
        base, ours = timed(prior, problem.device), timed(latentrs, problem.device)
        ratios.append(ours / base)
        rates.append(rows / base)
    interval = student_interval(ratios)
    return {
        "rows": rows,
        "pairs": len(ratios),
        "prior_images_per_second": median(rates),
        "latentrs_over_prior": interval.mean,
        "half_width": interval.half_width,
    }


def timed(work: Callable[[], None], device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - started


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def repeatable(problem: Problem, importance: ImportanceNetwork) -> bool:
    """The same seed gives the same accepted latents twice."""
    first, second = (
        sample_latentrs(problem.prior, importance, 64, BlockStream(1, PROPOSALS, problem.device)) for _ in range(2)
    )
    return bool(torch.equal(first.latents, second.latents))


if __name__ == "__main__":
    raise SystemExit(main())
