"""All sampling methods on one bundle: quality, acceptance and cost side by side, written as Markdown tables.

    python -m benchmarks.methods [--bundle bundles/fashion-mnist] [--data fashion-mnist] [--out docs/methods.md]
                                 [--keep FOLDER] [--short] [--also METHOD,NAME=VALUE ...]

``--out`` replaces what stands in that page between the marker of this program and the end of the table. ``--keep``
holds what was drawn and timed: the same command, run again, goes on where it was stopped.

Every method draws as many samples as there are test rows, ten disjoint blocks each; quality is the paired difference to
the prior in the space that training never saw, with 97% Student intervals. Three tables: each method at its defaults,
at one share of what is judged, and at one measured cost (see benchmarks.matched).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.cost import measure, passes
from benchmarks.matched import BUDGET, SHARE, Settings, at_cost, at_share, grids_in_words
from models.bundle import Bundle, load_bundle
from sampling.methods import DEFAULT_SIZES, METHODS
from training.data.catalog import fixed_split, load
from training.data.dataset import Dataset
from training.device import choose_device
from training.draws import Drawn, Shelf, kept_table, label, make, shelf_of
from training.evaluation.compare import BLOCKS, Table
from training.evaluation.report import FLOOR_SEED, SHUFFLE_SEED, spaces_of
from training.pages import publish

PROGRAM = "benchmarks.methods"
DATA = "fashion-mnist"
DEFAULTS = "At the defaults"
SEED = 40_000
COST_BATCH, COST_PAIRS = 240, 10
"""Of each timing beside the quality; benchmarks.cost takes more."""
COLUMNS = {
    "fid": "FID",
    "kid": "KID",
    "energy_distance": "energy",
    "emd": "EMD",
    "precision": "precision",
    "recall": "recall",
    "class_total_variation": "class TV",
}


@dataclass(frozen=True)
class Entry:
    """A method with its settings: what it drew, and the row that benchmarks.cost measured."""

    name: str
    drawn: Drawn
    timing: dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """One bundle under measurement: ``n`` samples a method; the ``shelf`` remembers what was done."""

    bundle: Bundle
    n: int
    device: torch.device
    shelf: Shelf

    def entry(self, method: str, settings: Settings) -> Entry:
        name = label(method, settings)
        drawn = self.shelf.drawn(name)
        if drawn is None:
            drawn = make(self.bundle, method, settings, self.n, SEED, self.device)
            self.shelf.keep_drawn(name, drawn)
        timing = self.timing(method, settings)
        print(f"{name}: {timing['ratio']:.2f}x", flush=True)
        return Entry(name, drawn, timing)

    def timing(self, method: str, settings: Settings) -> dict[str, Any]:
        name = label(method, settings)
        timing = self.shelf.result(name)
        if timing is None:
            timing = measure(self.bundle, method, COST_BATCH, DEFAULT_SIZES, COST_PAIRS, settings)
            self.shelf.keep_result(name, timing)
        return timing

    def ratio(self, method: str, settings: Settings) -> float:
        return float(self.timing(method, settings)["ratio"])


Rows = list[tuple[str, Settings]]


def matched(bench: Bench, names: list[str]) -> dict[str, Rows]:
    """The rows of the two matched tables by title; the settings of equal cost are found by timing them."""
    equal_share = at_share(bench.bundle)
    equal_cost = {name: at_cost(name, partial(bench.ratio, name)) for name in names}
    return {
        f"At equal acceptance, {SHARE:.3f}": [(name, equal_share[name]) for name in names if name in equal_share],
        f"At equal cost, near {BUDGET:g} times the bare decode": list(equal_cost.items()),
    }


def quality(bench: Bench, train: Dataset, test: Dataset, entries: list[Entry]) -> Table:
    """All entries on the same ten blocks of ``test``, in the space that training never saw."""
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(SHUFFLE_SEED))
    floor, _ = fixed_split(train, min(len(test), len(train) - 2), FLOOR_SEED)
    size = min(bench.n, len(test), len(floor)) // BLOCKS
    real = test.subset(order[: BLOCKS * size]).samples
    sets = {"floor": floor.samples, **{entry.name: entry.drawn.samples for entry in entries}}
    return kept_table(bench.shelf, spaces_of(bench.bundle)[-1], real, sets, bench.device)


def markdown(entries: list[Entry], table: Table, references: tuple[str, ...] = ()) -> str:
    """One line a method: its value, and the half width of its difference to the prior."""
    summary = table.summary()
    columns = {metric: title for metric, title in COLUMNS.items() if metric in summary["prior"]}
    titles = ["method", *columns.values(), "accepted", "generator", "critic", "w", "gradient", "cost"]
    lines = [f"| {' | '.join(titles)} |", "| --- |" + " --- |" * (len(titles) - 1)]
    for name in references:
        cells = [_cell(table, summary, name, metric) for metric in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |" + " |" * 6)
    for entry in entries:
        cells = [_cell(table, summary, entry.name, metric) for metric in columns]
        lines.append(f"| {entry.name} | {' | '.join(cells + _costs(entry))} |")
    return "\n".join(lines)


def _cell(table: Table, summary: dict[str, Any], name: str, metric: str) -> str:
    value = f"{summary[name][metric]['mean']:.3f}"
    if name in ("floor", "prior"):
        return value
    difference = table.paired(name, "prior")[metric]
    return f"{value} ({difference['mean']:+.3f} ± {difference['half_width']:.3f})"


def _costs(entry: Entry) -> list[str]:
    decodes = entry.timing["decodes"]
    rates = [entry.drawn.cost.acceptance_rate, *passes(entry.drawn.cost, decodes).values()]
    ratio, half_width = entry.timing["ratio"], entry.timing["half_width"]
    return [f"{rate:.2f}" for rate in rates] + [f"{ratio:.2f} ± {half_width:.2f}"]


def page(bench: Bench, tables: dict[str, list[Entry]], table: Table, facts: dict[str, Any]) -> str:
    """Everything between the markers."""
    notes = (
        "",
        "This share of what is judged passes, by the bundle's calibration: of latents by w (latentrs, latentrsga), "
        "by Jacobian (jbt), by seed (simplicial); of decoded samples by drs (its shift), while mh and sir return one "
        "of three. truncation: the cube that holds this share of the prior. The other methods reject nothing.",
        f"For each method the setting whose measured cost is nearest, out of: {grids_in_words()}. prior, truncation, "
        "latentrs and jbt are shown at their own cost: no setting of theirs brings it near without making them another "
        "method (latentrs cannot reject more than its weights allow; jbt costs at least twelve passes).",
    )
    parts = []
    for (title, entries), note in zip(tables.items(), notes, strict=False):  # one table has one note
        references = ("floor",) if entries[0].name == "prior" else ("floor", "prior")
        heading = f"### {title}" if len(tables) > 1 else ""
        parts += [heading, note, markdown(entries, table, references)]
    timed = tables[DEFAULTS][0].timing
    parts.append(
        f"{bench.n:,} samples a method, ten blocks of {table.block_rows:,} of each side, seed {SEED}. Cost: "
        f"milliseconds an image over those of the bare decode ({timed['bare_ms']:.3f} ms), in {timed['pairs']} "
        f"interleaved pairs of {timed['batch']} images. `{json.dumps(facts)}`"
    )
    return "\n\n".join(part for part in parts if part)


def assignments(text: str) -> tuple[str, Settings]:
    """``sir,candidates=40`` as a method and its settings. Raises argparse.ArgumentTypeError."""
    method, *pairs = text.split(",")
    try:
        parameters = METHODS[method].parameters.model_validate(dict(pair.split("=", 1) for pair in pairs))
    except (KeyError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no METHOD,NAME=VALUE,...: {error}") from error
    return method, parameters.model_dump(exclude_unset=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--rows", type=int, help="samples a method (default: the size of the test split)")
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS))
    parser.add_argument("--also", nargs="+", type=assignments, default=[], help="rows more in the first table")
    parser.add_argument("--short", action="store_true", help="the first table only, without a heading")
    parser.add_argument("--out", type=Path, help="page with the marker of this program, as docs/methods.md")
    parser.add_argument("--keep", type=Path, help="folder for what was drawn and timed")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def run(args: argparse.Namespace) -> str:
    """The tables of one bundle."""
    device = choose_device(args.device, args.threads)
    bundle = load_bundle(args.bundle, device)
    train, test = load(args.data, "train"), load(args.data, "test")
    n = args.rows or len(test)
    bench = Bench(bundle, n, device, shelf_of(args.keep, bundle, n, SEED))
    wanted = ["prior", *(name for name in args.methods or METHODS if name != "prior")]
    names = [name for name in wanted if not METHODS[name].missing(bundle)]
    entries: dict[str, Entry] = {}
    tables: dict[str, list[Entry]] = {}
    chosen: dict[str, Rows] = {DEFAULTS: [(name, {}) for name in names] + args.also}
    for title, rows in (chosen if args.short else chosen | matched(bench, names)).items():
        for method, settings in rows:
            name = label(method, settings)
            entries[name] = entries.get(name) or bench.entry(method, settings)
            tables.setdefault(title, []).append(entries[name])
    table = quality(bench, train, test, list(entries.values()))
    facts = {"bundle": bundle.name, "digest": bundle.digest[:12], "torch": torch.__version__}
    return page(bench, tables, table, facts)


def main() -> int:
    args = parse()
    program = PROGRAM if args.data == DATA else f"{PROGRAM} --data {args.data}"
    publish(args.out, program, lambda: run(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
