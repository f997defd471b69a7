"""All sampling methods on one bundle: quality, acceptance and cost side by side, written as a Markdown table.

    python -m benchmarks.methods [--bundle bundles/fashion-mnist] [--data fashion-mnist] [--out docs/methods.md]

``--out`` replaces what stands in that page between the marker of this program and the end of the table.

Every method draws as many samples as there are test rows, ten disjoint blocks each; quality is the paired difference to
the prior in the space that training never saw, with 97% Student intervals. Two tables: each method at its defaults,
and at the settings that come closest to ``BUDGET`` generator passes an image. Seconds are of this machine and this run.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.methods_page import replace_block
from models.bundle import Bundle, load_bundle
from sampling.draw import Draw
from sampling.methods import METHODS, bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream
from training.data.catalog import fixed_split, load
from training.data.dataset import Dataset
from training.device import choose_device
from training.evaluation.blocks import rows_of
from training.evaluation.compare import Table, compare
from training.evaluation.report import FLOOR_SEED, SHUFFLE_SEED, decode, spaces_of

PROGRAM = "benchmarks.methods"
SEED = 40_000
BUDGET = 3
SIZES = BlockSizes(latents=4_096, decoded=480)  # 480 holds whole candidate sets of 3, 10 and 40
MATCHED: dict[str, dict[str, Any]] = {"mh": {"candidates": BUDGET}, "sir": {"candidates": BUDGET}, "dot": {"steps": 1}}
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
    """A method with its settings, what it drew, and the seconds that drawing and decoding took."""

    name: str
    drawn: Draw
    samples: torch.Tensor
    seconds: float


def make(bundle: Bundle, method: str, settings: dict[str, Any], n: int, device: torch.device) -> Entry:
    sampler = bind(bundle, method, METHODS[method].parameters(**settings), SIZES)
    stream = BlockStream(SEED, sampler.block, device)
    started = perf_counter()
    drawn = draw(method, sampler.propose, n, stream)
    samples = decode(bundle, drawn)
    label = method + "".join(f" {key}={value}" for key, value in settings.items())
    return Entry(label, drawn, samples, perf_counter() - started)


def tables(bundle: Bundle, train: Dataset, test: Dataset, entries: list[Entry], device: torch.device) -> Table:
    space = spaces_of(bundle)[-1]
    floor, _ = fixed_split(train, min(len(test), len(train) - 2), FLOOR_SEED)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(SHUFFLE_SEED))
    real, other = (rows_of(space, data.samples, device) for data in (test.subset(order), floor))
    return compare(real, other, {entry.name: rows_of(space, entry.samples, device) for entry in entries})


def markdown(entries: list[Entry], table: Table) -> str:
    """One line a method: its value, and the half width of its difference to the prior."""
    bare = entries[0].seconds
    lines = [
        "| method | " + " | ".join(COLUMNS.values()) + " | accepted | generator | critic | w | gradient | time |",
        "| --- |" + " --- |" * (len(COLUMNS) + 6),
    ]
    summary = table.summary()
    columns = {metric: title for metric, title in COLUMNS.items() if metric in summary["prior"]}
    for name in ("floor", *(entry.name for entry in entries)):
        cells = [_cell(table, summary, name, metric) for metric in columns]
        found = next((entry for entry in entries if entry.name == name), None)
        cells += _costs(found, bare) if found else ["", "", "", "", "", ""]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(table: Table, summary: dict[str, Any], name: str, metric: str) -> str:
    value = f"{summary[name][metric]['mean']:.3f}"
    if name in ("floor", "prior"):
        return value
    difference = table.paired(name, "prior")[metric]
    return f"{value} ({difference['mean']:+.3f} ± {difference['half_width']:.3f})"


def _costs(entry: Entry, bare: float) -> list[str]:
    cost, n = entry.drawn.cost, len(entry.drawn.latents)
    decoded = cost.generator_rows / n if entry.drawn.samples is not None else 1 + cost.generator_rows / n
    rates = [cost.acceptance_rate, decoded, cost.critic_rows / n, cost.importance_rows / n, cost.gradient_steps / n]
    return [f"{rate:.2f}" for rate in rates] + [f"{entry.seconds / bare:.2f}x"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--rows", type=int, help="samples a method (default: the size of the test split)")
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS))
    parser.add_argument("--out", type=Path, help="page with the marker of this program, as docs/methods.md")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.out:
        write_into(args.out, None)  # before the measurement: a page without markers is told at once
    device = choose_device(args.device, args.threads)
    bundle = load_bundle(args.bundle, device)
    train, test = load(args.data, "train"), load(args.data, "test")
    names = args.methods or [name for name, method in METHODS.items() if not method.missing(bundle)]
    n = args.rows or len(test)
    entries = []
    for name, settings in [(name, {}) for name in names] + [(k, v) for k, v in MATCHED.items() if k in names]:
        entries.append(make(bundle, name, settings, n, device))
        print(f"{entries[-1].name}: {entries[-1].seconds:.1f} s", flush=True)
    text = markdown(entries, tables(bundle, train, test, entries, device))
    print(text)
    if args.out:
        facts = {
            "bundle": bundle.name,
            "digest": bundle.digest[:12],
            "rows": n,
            "seed": SEED,
            "torch": torch.__version__,
        }
        write_into(args.out, f"{text}\n\n`{json.dumps(facts)}`")
    return 0


def write_into(page: Path, content: str | None) -> None:
    """Put ``content`` between the markers of ``page``; None only looks for them. Raises SystemExit without them."""
    try:
        text = replace_block(page.read_text(), PROGRAM, content or "")
        if content is not None:
            page.write_text(text)
    except (OSError, ValueError) as error:
        raise SystemExit(f"--out {page}: {error}") from error


if __name__ == "__main__":
    raise SystemExit(main())
