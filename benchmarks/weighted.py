"""What the weights of one generator are worth beside each other: the same latents, weighted by each w.

    python -m benchmarks.weighted --data fashion-mnist runs/a/bundle runs/b/bundle [--rows 60000] [--seed 0]
                                  [--out docs/training.md]

Nothing is rejected: a generated row counts with min(w, cap), so all w share their latents and their real rows, and far
smaller differences are seen than between accepted samples. The real rows are those that ``winnow train weights`` sets
apart for its gate: no w has read them. FID: change against w = 1, and how far that is from the change of the first
bundle's w, with 97% intervals of a jackknife over ten groups of both sides. Energy distance: on the first ENERGY_ROWS
latents, the interval from its first-order influence.

The last line is no w: each decoded row has the weight of the least-squares density ratio, fitted in the training space
to the training rows and to other latents. It is what a function of the image may do that a function of the latent has
to guess; "of the ratio": the share of its variance over fresh latents that a w guesses.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import torch

from models.bundle import Bundle, load_bundle
from training.data.catalog import load
from training.data.dataset import Dataset
from training.evaluation.check import split_for_gate
from training.evaluation.report import require_weights, spaces_of
from training.features import features_of
from training.metrics.fid import fit_gaussian, frechet_distance
from training.metrics.intervals import CONFIDENCE, Interval, student_interval
from training.pages import publish
from training.pipeline import problem_of
from training.weights.config import LeastSquaresConfig
from training.weights.held_out import HeldOutEnergy
from training.weights.least_squares import least_squares_ratio
from training.weights.problem import Pool, digest, make_pool
from winnow.commands.arguments import whole

PROGRAM = "benchmarks.weighted"
GROUPS = 10
ENERGY_ROWS = 16_384
"""All their pairs are held at once: 1 GiB."""
SEED, OTHER_SEED = 4_000_000, 4_500_000
"""Offsets from the seed given: latents that no training draws."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Change:
    """Of one w in one space against w = 1, over what w = 1 has; ``beside``: its ``fid`` less that of the first;
    ``flat``: the FID of w = 1."""

    fid: Interval
    beside: Interval
    energy: Interval
    flat: float


def fids(real: torch.Tensor, fake: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """FID of ``fake`` with each of ``weights``, [1 + GROUPS, w]: of all rows, then without each group of both."""
    lines = []
    for group in range(-1, GROUPS):
        left, right = (torch.arange(len(rows)) % GROUPS != group for rows in (real, fake))
        data, rows = fit_gaussian(real[left]), fake[right]
        lines.append([frechet_distance(data, fit_gaussian(rows, "fake", w[right])) for w in weights])
    return torch.tensor(lines, dtype=torch.float64)


def jackknife(values: torch.Tensor) -> Interval:
    """Of a statistic of all rows and without each group, [1 + GROUPS]: 97% Student over the pseudo-values."""
    pseudo = GROUPS * values[0] - (GROUPS - 1) * values[1:]
    return Interval(float(values[0]), student_interval(pseudo.tolist()).half_width)


def energy_change(judge: HeldOutEnergy, weights: torch.Tensor) -> Interval:
    """Relative change of the energy distance; the interval leaves out that of w = 1's own distance."""
    gain, error = judge.gain_of(weights)
    before = judge.distance(torch.ones_like(weights))
    return Interval(-gain / before, NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * error / before)


@torch.no_grad()
def weights_of(bundle: Bundle, latents: torch.Tensor) -> torch.Tensor:
    assert bundle.importance is not None
    weights: torch.Tensor = bundle.importance(latents).clamp(max=bundle.importance.cap)
    return weights


def decoded_ratio(bundle: Bundle, rest: Dataset, pool: Pool, seed: int) -> torch.Tensor:
    """Weights [n] of the rows of ``pool`` by their looks in the training space: the clipped ratio to ``rest``."""
    problem = problem_of(bundle, rest, CPU)
    other = make_pool(problem, len(pool), OTHER_SEED + seed, title="to fit the ratio")
    fake = torch.cat([other.features, pool.features])
    config = LeastSquaresConfig(fit_rows=len(other))
    ratio = least_squares_ratio(config, fake, features_of(problem.features, rest.samples, CPU), seed)
    cap = 3.0 if bundle.importance is None else bundle.importance.cap
    return ratio[len(other) :].clamp(0, cap)


def require_one_generator(bundles: Sequence[Bundle]) -> None:
    """Raises SystemExit for another generator than the first bundle's, BundleError for a bundle without w."""
    for bundle in bundles:
        require_weights(bundle)
        if digest(bundle.generator) != digest(bundles[0].generator):
            raise SystemExit(f"{bundle.name}: another generator than the first bundle's; weights share latents only")


def compare(
    bundles: Sequence[Bundle], data: str, rows: int, seed: int
) -> tuple[list[str], list[list[Change]], list[torch.Tensor]]:
    """Names of the spaces; of each bundle's w, and last of the decoded ratio, the change in each; each one's weights.

    Raises SystemExit for another generator.
    """
    require_one_generator(bundles)
    first = bundles[0]
    apart, rest = split_for_gate(load(data, "train"))
    spaces = spaces_of(first)
    every: list[torch.Tensor] = []
    found: list[list[Change]] = [[] for _ in range(len(bundles) + 1)]
    for space in spaces:
        problem = replace(problem_of(first, apart, CPU), features=space.network)
        pool = make_pool(problem, rows, SEED + seed, title=space.name)
        every = every or [
            *(weights_of(bundle, pool.latents) for bundle in bundles), decoded_ratio(first, rest, pool, seed)
        ]  # fmt: skip
        real = space.features(apart.samples, CPU)
        judge = HeldOutEnergy(Pool(pool.latents[:ENERGY_ROWS], pool.features[:ENERGY_ROWS]), real)
        plain, *ours = fids(real, pool.features, [torch.ones(rows), *every]).unbind(1)
        for place, weights in enumerate(every):
            fid, beside = (jackknife((ours[place] - other) / plain) for other in (plain, ours[0]))
            found[place].append(Change(fid, beside, energy_change(judge, weights[:ENERGY_ROWS]), float(plain[0])))
    return [f"{space.name} ({space.role})" for space in spaces], found, every


def sharpness(weights: torch.Tensor) -> float:
    """E[w^2] of mean one."""
    return float((weights / weights.mean()).square().mean())


def guessed(weights: torch.Tensor, ratio: torch.Tensor) -> float:
    """Share of the variance of ``ratio`` that ``weights`` explain, both of mean one; below 0: worse than w = 1."""
    weights, ratio = weights / weights.mean(), ratio / ratio.mean()
    return 1 - float((weights - ratio).square().mean() / ratio.var(correction=0))


def table(folders: Sequence[Path], data: str, rows: int, seed: int) -> str:
    bundles = [load_bundle(folder, CPU) for folder in folders]
    spaces, found, every = compare(bundles, data, rows, seed)
    titles = ["weights", "objective", "widths", "E[w²]", "of the ratio"]
    titles += [cell for space in spaces for cell in (f"FID, {space}", "less the first's", f"energy, {space}")]
    lines = [titles, ["---"] * len(titles)]
    rows_of_table = [*map(_described, folders, bundles), ("decoded ratio", "", "")]
    for described, changes, weights in zip(rows_of_table, found, every, strict=True):
        cells = [percent(value) for change in changes for value in (change.fid, change.beside, change.energy)]
        lines.append([*described, f"{sharpness(weights):.2f}", f"{guessed(weights, every[-1]):.0%}", *cells])
    return "\n".join(
        [
            f"{bundles[0].name}, {rows:,} latents (energy distance: the first {min(rows, ENERGY_ROWS):,}), weighted; "
            f"{len(split_for_gate(load(data, 'train'))[0]):,} real rows that no w has read; change against w = 1.",
            "",
            *(f"| {' | '.join(line)} |" for line in lines),
        ]
    )


def _described(folder: Path, bundle: Bundle) -> tuple[str, str, str]:
    """Name of the run, objective and widths of w."""
    assert bundle.manifest.importance is not None and bundle.importance is not None
    name = folder.parent.name if folder.name == "bundle" else folder.name
    return name, bundle.manifest.importance.objective, " x ".join(map(str, bundle.importance.config["hidden"]))


def percent(value: Interval) -> str:
    return f"{100 * value.mean:+.0f} ± {100 * value.half_width:.0f}%"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", help="of one generator, each with its w")
    parser.add_argument("--data", required=True, help="name or path")
    parser.add_argument("--rows", type=whole(2 * GROUPS), default=60_000, help="latents (default: 60000)")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--out", type=Path, help="page with the marker of this program, as docs/training.md")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    publish(args.out, PROGRAM, lambda: table(args.bundles, args.data, args.rows, args.seed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
