"""What w takes off the early, the middle and the final generator of one GAN run, and what there was to take.

    python -m benchmarks.checkpoints --run runs/fashion-mnist/gan --bundle bundles/fashion-mnist --data fashion-mnist
        --steps 25000 50000 100000 --keep runs/checkpoints [--out docs/results.md]

A weak generator is easy to improve. Each snapshot of ``--run`` gets weights of the default objective, in the feature
spaces of ``--bundle``, and is judged as benchmarks.weighted does: the same latents with w = 1, with w, and with the
density ratio of the decoded images ("attainable", see there), against real rows that no w has read. ``--keep`` holds
the trained bundles: the same command, run again, goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch

from benchmarks.weighted import CPU, GROUPS, Change, compare, percent
from models.bundle import load_bundle
from training.build import with_weights
from training.data.catalog import load
from training.pages import publish
from training.pipeline import gan_bundle, snapshots
from training.presets import WEIGHTS_PRESETS, default_objective
from training.weights.config import WeightsConfig
from winnow.commands.arguments import whole

PROGRAM = "benchmarks.checkpoints"
TITLES = ("generator steps", "FID, w = 1", "FID, w", "FID, attainable", "share", "energy, w", "energy, attainable",
          "share")  # fmt: skip


def trained(args: argparse.Namespace, step: int, config: WeightsConfig) -> Path:
    """The snapshot at ``step`` with weights, as a bundle below --keep."""
    folder: Path = args.keep / f"{args.run.parent.name}-{step}"
    base = folder / "base"
    if not base.exists():
        shutil.copytree(args.bundle, base)  # for its feature spaces
    gan_bundle(args.run, base, snapshots(args.run)[step])
    return with_weights(config, folder / "w", base, load(args.data, "train"), CPU)


def table(args: argparse.Namespace) -> str:
    """One line a generator, in the space that is quoted."""
    config = WEIGHTS_PRESETS[default_objective(load_bundle(args.bundle).manifest.output)]
    lines = [list(TITLES), ["---"] * len(TITLES)]
    for step in args.steps:
        spaces, found, _ = compare([load_bundle(trained(args, step, config), CPU)], args.data, args.rows, args.seed)
        ours, best = (changes[-1] for changes in found)
        lines.append([f"{step:,}", *cells(ours, best)])
    table_lines = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{args.data}, `{config.name}`, {spaces[-1]}, {args.rows:,} latents.\n\n{table_lines}"


def cells(ours: Change, best: Change) -> list[str]:
    return [
        f"{ours.flat:.3f}", percent(ours.fid), percent(best.fid), _share(ours.fid.mean, best.fid.mean),
        percent(ours.energy), percent(best.energy), _share(ours.energy.mean, best.energy.mean),
    ]  # fmt: skip


def _share(ours: float, best: float) -> str:
    """Of the fall that was attainable; a dash where nothing was."""
    return f"{ours / best:.0%}" if best < 0 else "-"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a GAN run, with its snapshots")
    parser.add_argument("--bundle", type=Path, required=True, help="whose feature networks judge and train")
    parser.add_argument("--data", required=True, help="name or path")
    parser.add_argument("--steps", type=whole(1), nargs="+", required=True, help="snapshots")
    parser.add_argument("--keep", type=Path, required=True, help="folder for what is trained")
    parser.add_argument("--rows", type=whole(2 * GROUPS), default=60_000, help="latents (default: 60000)")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--threads", type=whole(1))
    parser.add_argument("--out", type=Path, help="page with a marker of this program and data set, as docs/results.md")
    args = parser.parse_args(arguments)
    there = snapshots(args.run)
    if missing := [step for step in args.steps if step not in there]:
        parser.error(
            f"--steps: {args.run} has no snapshot at {missing[0]}; it has {', '.join(map(str, there)) or 'none'}"
        )
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    publish(args.out, f"{PROGRAM} --data {args.data}", lambda: table(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
