"""The MNIST and Fashion-MNIST tables: every baseline on one bundle, in both feature spaces."""

from __future__ import annotations

from pathlib import Path

from models.bundle import Bundle, load_bundle
from sampling.methods import METHODS, bind
from training.build import RECIPES, build
from training.data.catalog import load
from training.data.dataset import Dataset
from training.draws import label
from training.errors import TrainingRefused
from training.evaluation.report import spaces_of
from training.reproduce import page, published
from training.reproduce.measure import Measured, Row, measure
from training.reproduce.options import Options

ROWS: tuple[Row, ...] = (
    ("prior", {}),
    ("drs", {}),
    ("drs", {"shift": 80.0}),
    ("sir", {}),
    ("mh", {}),
    ("dot", {}),
    ("dot", {"step_size": 0.01}),
    ("latentrs", {}),
    ("latentga", {}),
    ("latentrsga", {}),
    ("jbt", {}),
)
"""The paper ran DOT with steps of 0.05 and 0.01 and printed the better one."""
METRICS = ("fid", "emd", "precision", "recall", "energy_distance", "class_total_variation")
LEARNED = ("prior", "latentrs", "latentga", "latentrsga")
LEAST_ACCEPTANCE = 0.005
"""Of drs: ten thousand samples would take two million decodes or more."""
EMBEDDED = Path("bundles")
"""Beside the code: the bundles that come with it."""


def regenerate(name: str, options: Options) -> str:
    """The block of the data set ``name`` for docs/results.md."""
    data = load(name, "train"), load(name, "test")
    bundle = load_bundle(bundle_for(name, options), options.device)
    paper = published.IMAGES[name]
    blocks, tables = options.effort.blocks, []
    for title, measured in measured_in_spaces(bundle, data, options):
        tables += [f"### {title}", page.markdown(measured, paper, METRICS)]
    reasons = [f"{label(*row)} ({reason})" for row in ROWS if (reason := left_out(bundle, row))]
    return "\n\n".join([
        *tables,
        *([f"Not measured: {', '.join(reasons)}."] if reasons else []),
        f"Paper: {paper.source}. {paper.note} Its EMD, FID, precision and recall are those of a classifier of its own, "
        "at n = 2,048: the changes can be compared, the values cannot.",
        page.facts({
            "n": measured.table.block_rows,
            "blocks": blocks,
            "training seeds": 1,
            "bundle": f"{bundle.name} {bundle.digest[:12]}",
            "generator": bundle.manifest.description.rstrip("."),
        }),
    ])  # fmt: skip


def bundle_for(name: str, options: Options) -> Path:
    """The bundle of the command line; else the embedded one; else one trained by the recipe, below --keep."""
    if options.bundle is not None:
        return options.bundle
    if (EMBEDDED / name).is_dir():
        return EMBEDDED / name
    if name not in RECIPES:
        raise TrainingRefused(f"there is no recipe for {name}: give a bundle of it with --bundle")
    return build(name, RECIPES[name], options.keep / "recipes", options.keep / "bundles", options.device)


def rows_for(bundle: Bundle) -> list[Row]:
    """Every row that the bundle can do in reasonable time. Raises TrainingRefused without weights."""
    if bundle.importance is None:
        raise TrainingRefused(f"{bundle.name} has no importance network: run winnow train weights first")
    return [row for row in ROWS if not left_out(bundle, row)]


def left_out(bundle: Bundle, row: Row) -> str:
    """Why ``row`` is not in the table; empty where it is."""
    method, settings = row
    if missing := METHODS[method].missing(bundle):
        return f"the bundle lacks {' and '.join(missing)}"
    if method != "drs":
        return ""
    sampler = bind(bundle, method, METHODS[method].parameters(**settings))
    if settings and sampler.parameters == bind(bundle, method).parameters:
        return "the bundle's default is the same"
    expected = sampler.expected_acceptance
    if expected is not None and expected < LEAST_ACCEPTANCE:
        return f"its plain rule accepts {expected:.2%} of what is decoded"
    return ""


def measured_in_spaces(bundle: Bundle, data: tuple[Dataset, Dataset], options: Options) -> list[tuple[str, Measured]]:
    """The independent space first, the one to quote; then the one that importance training read, with the methods that
    learned from it."""
    blocks, rows = options.effort.blocks, rows_for(bundle)
    n = options.rows or min(len(data[1]), options.effort.block_rows * blocks)
    *others, quoted = spaces_of(bundle)
    found = [(f"{quoted.name} (to be quoted)", measure(bundle, rows, data, options, n, blocks, quoted))]
    learned = [row for row in rows if row[0] in LEARNED]
    for space in others:
        measured = measure(bundle, learned, data, options, n, blocks, space, f"quality in {space.name} of")
        found.append((f"{space.name} (importance training read it)", measured))
    return found
