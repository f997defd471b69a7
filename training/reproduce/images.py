"""The MNIST and Fashion-MNIST tables: every baseline on one bundle, in both feature spaces."""

from __future__ import annotations

from pathlib import Path

from models.bundle import Bundle, load_bundle
from sampling.methods import METHODS
from training.build import RECIPES, build
from training.data.catalog import load
from training.data.dataset import Dataset
from training.errors import TrainingRefused
from training.evaluation.report import spaces_of
from training.reproduce import page, published
from training.reproduce.measure import Measured, Row, measure
from training.reproduce.options import Options

WANTED = ("prior", "drs", "sir", "mh", "dot", "latentrs", "latentga", "latentrsga", "jbt")
METRICS = ("fid", "emd", "precision", "recall", "energy_distance", "class_total_variation")
EMBEDDED = {"fashion-mnist": Path("bundles/fashion-mnist")}


def regenerate(name: str, options: Options) -> str:
    """The block of the data set ``name`` for docs/results.md."""
    data = load(name, "train"), load(name, "test")
    bundle = load_bundle(bundle_for(name, options), options.device)
    paper = published.IMAGES[name]
    blocks, tables = options.effort.blocks, []
    for title, measured in measured_in_spaces(bundle, data, options):
        tables += [f"### {title}", page.markdown(measured, paper, METRICS)]
    lacking = [method for method in WANTED if METHODS[method].missing(bundle)]
    return "\n\n".join([
        *tables,
        *([f"Not measured, because the bundle lacks what it needs: {', '.join(lacking)}."] if lacking else []),
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
    embedded = EMBEDDED.get(name)
    if embedded is not None and embedded.is_dir():
        return embedded
    if name not in RECIPES:
        raise TrainingRefused(f"there is no recipe for {name}: give a bundle of it with --bundle")
    return build(name, RECIPES[name], options.keep / "recipes", options.keep / "bundles", options.device)


def rows_for(bundle: Bundle) -> list[Row]:
    """Every wanted method that the bundle can do, at its defaults. Raises TrainingRefused without weights."""
    if bundle.importance is None:
        raise TrainingRefused(f"{bundle.name} has no importance network: run winnow train weights first")
    return [(name, {}) for name in WANTED if not METHODS[name].missing(bundle)]


def measured_in_spaces(bundle: Bundle, data: tuple[Dataset, Dataset], options: Options) -> list[tuple[str, Measured]]:
    """The independent space first: the one to quote."""
    blocks, rows = options.effort.blocks, rows_for(bundle)
    n = options.rows or min(len(data[1]), options.effort.block_rows * blocks)
    spaces = spaces_of(bundle)
    found = []
    for space in reversed(spaces):
        quoted = space is spaces[-1]
        title = "quality of" if quoted else f"quality in {space.name} of"
        measured = measure(bundle, rows, data, options, n, blocks, space, title)
        found.append((f"{space.name} ({space.role} space{', to be quoted' if quoted else ''})", measured))
    return found
