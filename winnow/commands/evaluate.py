"""``winnow evaluate``: prior against latentRS on held-out data, written to the bundle's report.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from winnow.commands.arguments import check_writable, seed, source, threads

SHOWN = ("fid", "energy_distance", "emd", "precision", "recall", "class_total_variation")


def register(commands: Any) -> None:
    parser = commands.add_parser("evaluate", help="measure a bundle on held-out data and write its report")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=source, required=True, help="name or path; its test split is used")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="bundles with other weights")
    parser.add_argument("--gan-run", type=Path, help="run folder of the generator, for its curve over training steps")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=threads)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from models.bundle import load_bundle
    from training.data.catalog import load
    from training.device import choose_device
    from training.evaluation.report import evaluate, write_report
    from training.pipeline import curve_of_run, other_weights
    from training.shapes import check_bundle_fits, check_enough_to_measure

    check_writable(args.bundle, "the bundle")
    device = choose_device(args.device, args.threads)
    bundle = load_bundle(args.bundle, device)
    train, test = load(args.data, "train"), load(args.data, "test")
    check_bundle_fits(bundle, train, test)
    check_enough_to_measure(train, test)
    report = evaluate(bundle, train, test, args.seed, device, other_weights(bundle, args.against))
    if args.gan_run:
        report["generator_curve"] = curve_of_run(args.gan_run, load_bundle(args.bundle), train, test)  # CPU only
    path = write_report(report, args.bundle)
    _print(report)
    print(f"written to {path}")
    return 0


def _print(report: dict[str, Any]) -> None:
    protocol = report["protocol"]
    for section in report["spaces"]:
        print(f"\n{section['name']} ({section['role']} space), {protocol['blocks']} blocks of "
              f"{protocol['block_rows']} rows, mean and 97% interval")  # fmt: skip
        _print_table(section, protocol["generated_rows_per_block"])
        if "objectives" in section:
            _print_table(section["objectives"], protocol["generated_rows_per_block_of_objectives"])
    print(f"\nacceptance: {json.dumps({k: round(v['rate'], 4) for k, v in report['acceptance'].items()})}")


def _print_table(table: dict[str, Any], generated_rows: int) -> None:
    print(f" {generated_rows} generated rows a block")
    for method, metrics in table["methods"].items():
        cells = (f"{m} {v['mean']:.4g}±{v['half_width']:.2g}" for m in SHOWN if (v := metrics.get(m)))
        print(f"  {method:28} " + "  ".join(cells))
    for method, verdict in table["verdicts"].items():
        print(f"  {method}: {'better than the prior' if verdict['passed'] else 'NOT shown better than the prior'}")
