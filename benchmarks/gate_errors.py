"""How often the quality gate errs: passes weights that change nothing, and rejects weights that are known to be good.

    python -m benchmarks.gate_errors [--trials 400] [--rows 2000] [--keep FILE] [--only CASE ...]

Every trial draws new real rows, a new floor and new latents, and goes through the gate's own comparison and rule. The
weights of a case are a fixed network; where they must be passed or rejected is known by construction:

- ``prior``: prior against fresh draws of the prior, of a generator with 40% junk;
- ``noise``: latentRS with weights 0 or 3 by a latent coordinate that the generator ignores: the prior's own law;
- ``perfect``: the same with a generator that makes the data's own law;
- ``mixture``: prior against prior, 25 Gaussians of which 10% of the samples lie between the modes;
- ``good-average``, ``good-wide``, ``good-shifted`` (to be passed): weights that reject three quarters of the junk,
  which is too average, too wide, or elsewhere.

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
from training.evaluation.compare import compare
from training.evaluation.gate import judge
from training.metrics.intervals import CONFIDENCE

DIM, JUNK = 16, 0.4
KINDS = {"average": (0.3, 0.0), "wide": (2.0, 0.0), "shifted": (1.0, 0.8)}
BETWEEN = 0.1
PER_REAL = 4
KEPT_JUNK = 0.25
CHECKS = ("fid_better", "unbiased_better", "no_unbiased_worse", "recall_kept", "emd_not_below_floor")
Draw = Callable[[int, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """Laws of the data, of the prior's samples and of the filtered ones."""

    real: Draw
    prior: Draw
    filtered: Draw


def normal(n: int, rng: torch.Generator) -> torch.Tensor:
    return torch.randn(n, DIM, generator=rng)


def junk(kind: str, share: float = JUNK) -> Draw:
    """N(0, I), a ``share`` of it scaled or moved."""
    scale, shift = KINDS[kind]

    def draw(n: int, rng: torch.Generator) -> torch.Tensor:
        spoilt = torch.rand(n, 1, generator=rng) < share
        rows = torch.randn(n, DIM, generator=rng)
        return torch.where(spoilt, rows * scale + shift, rows)

    return draw


def thinned(draw: Draw) -> Draw:
    """What rejection by weights 0 or 3 leaves when they know nothing of the sample: a third, chosen by noise."""

    def kept(n: int, rng: torch.Generator) -> torch.Tensor:
        rows = torch.cat([draw(n, rng) for _ in range(4)])
        passed: torch.Tensor = rows[torch.rand(len(rows), generator=rng) < 1 / 3]
        return passed[:n]

    return kept


def grid(n: int, rng: torch.Generator) -> torch.Tensor:
    return gaussian_grid(25, n, int(torch.randint(2**31, (), generator=rng))).samples


def grid_with_bridges(n: int, rng: torch.Generator) -> torch.Tensor:
    between = torch.rand(n, 1, generator=rng) < BETWEEN
    first, second, t = grid(n, rng), grid(n, rng), torch.rand(n, 1, generator=rng)
    return torch.where(between, t * first + (1 - t) * second, first)


GOOD_JUNK = JUNK * KEPT_JUNK / (JUNK * KEPT_JUNK + 1 - JUNK)
CASES = {
    "prior": Case(normal, junk("shifted"), junk("shifted")),
    "noise": Case(normal, junk("shifted"), thinned(junk("shifted"))),
    "perfect": Case(normal, normal, thinned(normal)),
    "mixture": Case(grid, grid_with_bridges, grid_with_bridges),
    **{f"good-{kind}": Case(normal, junk(kind), junk(kind, GOOD_JUNK)) for kind in KINDS},
}


def trial(case: Case, rows: int, seed: int) -> dict[str, Any]:
    """The gate's checks on one set of draws."""
    rng = torch.Generator().manual_seed(seed)
    real, floor = (Rows(case.real(n, rng), None) for n in (rows, rows))
    fakes = {"prior": case.prior, "latentrs": case.filtered}
    table = compare(real, floor, {name: Rows(draw(PER_REAL * rows, rng), None) for name, draw in fakes.items()})
    found = judge(table, "latentrs")
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
