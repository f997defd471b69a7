"""How often the quality gate errs: passes weights that change nothing, and rejects weights that are known to be good.

    python -m benchmarks.gate_errors [--trials 400] [--rows 2000] [--keep FILE] [--only CASE ...]

Every trial draws new real rows, a new floor and new latents, coupled as the gate draws them, and goes through its own
comparison and rule. The weights of a case are a fixed function of the latent; where they must be passed or rejected is
known by construction:

- ``noise``: weights 0 or 3 by a coordinate that the generator, with 40% junk, ignores: the prior's own law;
- ``perfect``: the same with a generator that makes the data's own law;
- ``mixture``: the same, 25 Gaussians of which 40% of the samples lie between the modes, judged as raw coordinates;
- ``good-average``, ``good-wide``, ``good-shifted`` (to be passed): weights that reject three quarters of the junk,
  which is too average, too wide, or elsewhere;
- ``good-mixture`` (to be passed): three quarters of what lies between the modes, judged as raw coordinates.

``--keep`` holds one JSON line a trial: the same command, run again, goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import beta

from training.data.synthetic import gaussian_grid
from training.evaluation.blocks import Rows
from training.evaluation.check import GATE_ROWS_PER_REAL
from training.evaluation.compare import compare
from training.evaluation.coupling import Weigh, couple
from training.evaluation.gate import judge
from training.metrics.intervals import CONFIDENCE

DIM, JUNK = 16, 0.4
KINDS = {"average": (0.3, 0.0), "wide": (2.0, 0.0), "shifted": (1.0, 0.8)}
KEPT_JUNK = 0.25
CAP = 3.0
CHECKS = ("distance_better", "unbiased_better", "no_unbiased_worse", "recall_kept", "emd_not_below_floor")
Draw = Callable[[int, torch.Generator], torch.Tensor]
"""Rows [n, d]; of a generator [n, d + 2]: the sample, whether it is junk, and a number that it does not depend on."""


@dataclass(frozen=True)
class Case:
    """Laws of the data and of the generator, and w of the generator's rows; ``raw``: judged as raw coordinates."""

    real: Draw
    made: Draw
    weigh: Weigh
    raw: bool = False


def normal(n: int, rng: torch.Generator) -> torch.Tensor:
    return torch.randn(n, DIM, generator=rng)


def perfect(n: int, rng: torch.Generator) -> torch.Tensor:
    return tagged(normal(n, rng), torch.zeros(n, 1), rng)


def junk(kind: str) -> Draw:
    """N(0, I), 40% of it scaled or moved."""
    scale, shift = KINDS[kind]

    def draw(n: int, rng: torch.Generator) -> torch.Tensor:
        spoilt = torch.rand(n, 1, generator=rng) < JUNK
        rows = torch.randn(n, DIM, generator=rng)
        return tagged(torch.where(spoilt, rows * scale + shift, rows), spoilt, rng)

    return draw


def grid(n: int, rng: torch.Generator) -> torch.Tensor:
    return gaussian_grid(25, n, int(torch.randint(2**31, (), generator=rng))).samples


def grid_with_bridges(n: int, rng: torch.Generator) -> torch.Tensor:
    between = torch.rand(n, 1, generator=rng) < JUNK
    first, second, t = grid(n, rng), grid(n, rng), torch.rand(n, 1, generator=rng)
    return tagged(torch.where(between, t * first + (1 - t) * second, first), between, rng)


def tagged(samples: torch.Tensor, spoilt: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return torch.cat([samples, spoilt.float(), torch.rand(len(samples), 1, generator=rng)], dim=1)


def by_noise(rows: torch.Tensor) -> torch.Tensor:
    return CAP * (rows[:, -1] < 1 / CAP).float()


def by_junk(rows: torch.Tensor) -> torch.Tensor:
    return torch.where(rows[:, -2] > 0, KEPT_JUNK, 1.0)


CASES = {
    "noise": Case(normal, junk("shifted"), by_noise),
    "perfect": Case(normal, perfect, by_noise),
    "mixture": Case(grid, grid_with_bridges, by_noise, raw=True),
    **{f"good-{kind}": Case(normal, junk(kind), by_junk) for kind in KINDS},
    "good-mixture": Case(grid, grid_with_bridges, by_junk, raw=True),
}


def trial(case: Case, rows: int, seed: int) -> dict[str, Any]:
    """The gate's checks on one set of draws."""
    rng = torch.Generator().manual_seed(seed)
    floor_rows = GATE_ROWS_PER_REAL * rows if case.raw else rows  # dense recall takes as many as the gate has
    real, floor = (Rows(case.real(n, rng), None, case.raw) for n in (rows, floor_rows))
    pair = couple(lambda n: case.made(n, rng), case.weigh, CAP, GATE_ROWS_PER_REAL * rows, rng)
    base, others = (Rows(made[:, :-2].contiguous(), None, case.raw) for made in (pair.base, pair.others))
    found = judge(compare(real, floor, {"prior": base, "latentrs": pair.filtered(base, others)}), "latentrs")
    return {"seed": seed, "passed": found["passed"], **{name: found[name] for name in CHECKS}}


def exact_interval(successes: int, trials: int) -> tuple[float, float]:
    """Clopper and Pearson, 97%."""
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, trials - successes)) if successes < trials else 1.0
    return low, high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--rows", type=int, default=2_000, help="held-out real rows")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    args = parser.parse_args()
    done: dict[tuple[str, int, int], dict[str, Any]] = {}
    if args.keep and args.keep.exists():
        lines = [json.loads(line) for line in args.keep.read_text().splitlines()]
        done = {(line["case"], line["rows"], line["seed"]): line for line in lines}
    print(f"| case | trials | passed | rate, 97% interval | {' | '.join(CHECKS)} |")
    print("| --- |" + " --- |" * (3 + len(CHECKS)))
    for name in args.only:
        found = []
        for seed in range(args.trials):
            line = done.get((name, args.rows, seed)) or {"case": name, "rows": args.rows} | trial(
                CASES[name], args.rows, seed
            )
            found.append(line)
            if args.keep and (name, args.rows, seed) not in done:
                with args.keep.open("a") as handle:
                    handle.write(json.dumps(line) + "\n")
        passed = sum(line["passed"] for line in found)
        low, high = exact_interval(passed, len(found))
        shares = " | ".join(f"{sum(line[check] for line in found) / len(found):.3f}" for check in CHECKS)
        print(f"| {name} | {len(found)} | {passed} | {passed / len(found):.4f} ({low:.4f} to {high:.4f}) | {shares} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
