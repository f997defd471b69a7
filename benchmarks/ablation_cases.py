"""The constructed cases of the ablation: what each objective makes of known junk and known modes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from training.draws import Shelf, fingerprint
from training.metrics.intervals import student_interval
from training.presets import WEIGHTS_PRESETS
from training.weights.cases import Case, Score, failure, make_case, score, sized
from training.weights.train import train_weights

ROWS = 3_000
"""Fresh data and accepted points of each energy distance."""


@dataclass(frozen=True)
class Outcome:
    """One training run on one case."""

    score: Score
    failure: str | None
    seconds: float


def outcome(case: Case, objective: str, seed: int, steps: int, shelf: Shelf) -> Outcome:
    """Train (or read from the shelf) and score."""
    config = replace(sized(WEIGHTS_PRESETS[objective], steps), seed=seed)
    name = f"{case.name} {objective} {seed} {fingerprint(config)}"
    kept = shelf.result(name)
    if kept is None:
        start = perf_counter()
        with TemporaryDirectory() as folder, redirect_stderr(StringIO()):
            network = train_weights(config, case.problem, Path(folder)).network
        kept = {"seconds": perf_counter() - start, **asdict(score(case, network, ROWS, seed))}
        shelf.keep_result(name, kept)
        print(f"{name}: {kept}", flush=True)
    seconds = kept.pop("seconds")
    after = Score(**kept)
    return Outcome(after, failure(case, score(case, None, ROWS, seed), after), seconds)


def cases_page(
    objectives: Sequence[str], kinds: Sequence[str], dims: Sequence[int], seeds: int, steps: int, shelf: Shelf
) -> str:
    """Two tables, and how many runs failed."""
    first, second = [], []
    failed = dict.fromkeys(objectives, 0)
    seconds: list[float] = []
    for case in (make_case(kind, dim) for kind in kinds for dim in dims):
        found = {name: [outcome(case, name, seed, steps, shelf) for seed in range(seeds)] for name in objectives}
        prior = [score(case, None, ROWS, seed) for seed in range(seeds)]
        for name, outcomes in found.items():
            failed[name] += sum(each.failure is not None for each in outcomes)
            seconds += [each.seconds for each in outcomes]
        perfect = case.kind == "perfect"
        before = "0" if perfect else f"{prior[0].misplaced:.2f}"
        cells = [_cell([o.score.spread if perfect else o.score.misplaced for o in each]) for each in found.values()]
        marks = [" ✗" * any(o.failure for o in each) for each in found.values()]
        first.append([case.name, before, *(cell + mark for cell, mark in zip(cells, marks, strict=True))])
        energies = [_cell([1e3 * o.score.energy for o in each], 1) for each in found.values()]
        second.append([case.name, _cell([1e3 * p.energy for p in prior], 1), *energies])
    runs = len(kinds) * len(dims) * seeds
    first.append(["runs failed", "", *(f"{count} of {runs}" for count in failed.values())])
    titles = ["case", "prior", *(f"`{name}`" for name in objectives)]
    notes = (
        f"Misplaced share under the law min(w, m) times the prior: of junk, or the total variation of mode shares "
        f"(0.25 is the least where one of four modes is missing); of the perfect generator the deviation of w. ✗: at "
        f"least one seed failed. {seeds} training seeds, 97% Student interval over them, {steps} steps at most, 6,000 "
        f"data rows, a pool of 8,000; {sum(seconds) / len(seconds):.1f} s a run."
    )
    return "\n\n".join(
        [
            notes,
            _table(titles, first),
            f"Energy distance to fresh data, x 1000 ({ROWS:,} rows of each; may be negative):",
            _table(titles, second),
        ]
    )


def _cell(values: list[float], digits: int = 2) -> str:
    interval = student_interval(values)
    return f"{interval.mean:.{digits}f} ± {interval.half_width:.{digits}f}"


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
