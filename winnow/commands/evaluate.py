"""``winnow evaluate``: prior against the other methods on held-out data, written to the bundle's report."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from winnow.commands.arguments import check_writable, gate_limits, seed, source, threads, whole

SHOWN = (
    "fid",
    "energy_distance",
    "kid",
    "ladder_distance",
    "emd",
    "precision",
    "recall",
    "dense_recall",
    "class_total_variation",
)
ALL = "all"


def register(commands: Any) -> None:
    parser = commands.add_parser("evaluate", help="measure a bundle on held-out data and write its report")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=source, required=True, help="name or path; its test split is used")
    parser.add_argument("--methods", help="all, or names with commas between them (default: the latent methods)")
    gate_limits(parser)
    text = "exported network that maps images to features [n, f], which training read"
    parser.add_argument("--features", type=Path, help=text)
    text = "another one, which training did not read; the one to quote"
    parser.add_argument("--independent-features", type=Path, help=text)
    parser.add_argument("--rows-per-real", type=whole(1, 100), help="generated rows a method to each test row")
    parser.add_argument(
        "--seeds", type=Path, nargs="*", action="extend", default=[], help="bundles of other training seeds of w"
    )
    parser.add_argument("--against", type=Path, nargs="*", action="extend", default=[],
                        help="bundles with weights of other objectives")  # fmt: skip
    parser.add_argument("--gan-run", type=Path, help="run folder of the generator, for its curve over training steps")
    text = "also measure whether filtering can pay; a bundle without weights gets that alone"
    parser.add_argument("--latent-geometry", action="store_true", help=text)
    text = "latents of the regression on classes (default: 100000)"
    parser.add_argument("--geometry-rows", type=whole(100), default=100_000, help=text)
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=threads)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from models.bundle import load_bundle
    from models.manifest import SCHEMA_VERSION
    from training.data.catalog import load
    from training.device import choose_device
    from training.evaluation.files import PAGE_FILE, write_report
    from training.evaluation.page.document import render
    from training.shapes import check_bundle_fits, check_enough_to_measure

    check_writable(args.bundle, "the bundle")
    device = choose_device(args.device, args.threads)
    bundle = load_bundle(args.bundle, device)
    train = load(args.data, "train")
    check_bundle_fits(bundle, train)
    report: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "model": bundle.name, "bundle_digest": bundle.digest}
    material = None
    if bundle.importance is not None or not args.latent_geometry:
        test = load(args.data, "test")
        check_bundle_fits(bundle, test)
        check_enough_to_measure(train, test)
        report, material = measure(args, bundle, train, test, device)
        _print(report)
    if args.latent_geometry:
        report["latent_geometry"] = found = geometry_of(args, bundle, train, device)
        print(found["sentence"])
    path = write_report(report, args.bundle, render(report, material))
    print(f"written to {path} and {PAGE_FILE}")
    return 0


def measure(args: argparse.Namespace, bundle: Any, train: Any, test: Any, device: Any) -> tuple[dict[str, Any], Any]:
    """The report of a bundle with weights, and what its pictures are made of."""
    import torch

    from models.bundle import load_bundle
    from training.evaluation.material import gather
    from training.evaluation.report import evaluate
    from training.pipeline import curve_of_run, other_weights

    every = list(other_weights(bundle, [*args.against, *args.seeds]).items())
    others, seeds = dict(every[: len(args.against)]), dict(every[len(args.against) :])
    options = replace(options_of(args), spaces=spaces_for(args, bundle, train, device))
    report = evaluate(bundle, train, test, args.seed, device, others, options, seeds)
    material = gather(bundle, train, test, args.seed, device)
    report["pictures"] = material.numbers()
    if args.gan_run:
        on_cpu = spaces_for(args, load_bundle(args.bundle), train, torch.device("cpu"))
        report["generator_curve"] = curve_of_run(args.gan_run, on_cpu, train, test)
    return report, material


def geometry_of(args: argparse.Namespace, bundle: Any, train: Any, device: Any) -> dict[str, Any]:
    from training.evaluation.geometry import GeometryRows, latent_geometry

    space = spaces_for(args, bundle, train, device)[-1]
    return latent_geometry(bundle, train, args.seed, device, GeometryRows(args.geometry_rows), space)


def spaces_for(args: argparse.Namespace, bundle: Any, train: Any, device: Any) -> list[Any]:
    """The bundle's feature spaces, the networks of the command line in the place of its own."""
    from training.evaluation.report import spaces_of
    from training.extractor import ExtractorFiles

    files = ExtractorFiles(args.features, args.independent_features)
    return list(spaces_of(bundle, *files.load(train, device)))


def options_of(args: argparse.Namespace) -> Any:
    """What is to be measured, and what the gate asks for."""
    from sampling.methods import METHODS
    from training.evaluation.gate import Limits
    from training.evaluation.report import Options

    methods = None
    if args.methods is not None:
        named = tuple(name.strip() for name in args.methods.split(",") if name.strip())
        methods = tuple(METHODS) if args.methods == ALL else named
    return Options(methods, Limits(args.minimum_effect, args.max_recall_loss), args.rows_per_real)


def _print(report: dict[str, Any]) -> None:
    protocol = report["protocol"]
    for section in report["spaces"]:
        print(f"\n{section['name']} ({section['role']} space), {protocol['blocks']} blocks of "
              f"{protocol['block_rows']} rows, mean and 97% interval")  # fmt: skip
        _print_table(section, protocol["generated_rows_per_block"])
        for group, rows in (("objectives", "objectives"), ("seeds", "objectives"), ("slow", "slow")):
            if group in section:
                _print_table(section[group], protocol[f"generated_rows_per_block_of_{rows}"])
    for name, reason in report["methods_unavailable"].items():
        print(f"  {name}: {reason}")
    print(f"\nacceptance: {json.dumps({k: round(v['rate'], 4) for k, v in report['acceptance'].items()})}")
    gate = report["gate"]
    print(f"quality gate, {gate['space']} space: {gate['verdict']}, {gate['reason']}")


def _print_table(table: dict[str, Any], generated_rows: int) -> None:
    print(f" {generated_rows} generated rows a block")
    for method, metrics in table["methods"].items():
        cells = (f"{m} {v['mean']:.4g}±{v['half_width']:.2g}" for m in SHOWN if (v := metrics.get(m)))
        print(f"  {method:28} " + "  ".join(cells))
    for method, verdict in table["verdicts"].items():
        print(f"  {method}: {'better than the prior' if verdict['passed'] else 'NOT shown better than the prior'}")
    if "over_seeds" in table:
        found = table["over_seeds"]
        print(f"  {found['passed']} of {found['seeds']} training seeds pass")
