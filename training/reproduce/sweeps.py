"""Grids of SIR, DOT, latentGA and latentRS+GA over N and the step size, on the 25 Gaussians of table 1."""

from __future__ import annotations

from models.bundle import load_bundle
from training.data.catalog import load
from training.reproduce import page, published
from training.reproduce.measure import Measured, Row, measure, together
from training.reproduce.options import Options
from training.reproduce.subject import generator_of, with_baselines, with_weights
from training.reproduce.table1 import HIDDEN, PRESETS

DATA = "gaussians-25"
COUNTS = (2, 5, 10, 50)
STEP_SIZES = (0.01, 0.05, 0.1)
PAPER_STEP_SIZE = 0.05
"""The one that was best on every data set of the paper; its rows carry the paper's columns."""
METRICS = ("emd_squared", "precision", "recall", "energy_distance")


def baselines() -> list[Row]:
    """prior, then SIR by candidates and DOT by steps and step size."""
    rows: list[Row] = [("prior", {}), *(("sir", {"candidates": n}) for n in COUNTS)]
    return rows + [("dot", {"steps": n, "step_size": size}) for size in STEP_SIZES for n in COUNTS]


def ascents() -> list[Row]:
    """prior, latentRS, then latentGA and latentRS+GA by steps and step size."""
    rows: list[Row] = [("prior", {}), ("latentrs", {})]
    methods = ("latentga", "latentrsga")
    return rows + [(m, {"steps": n, "step_size": size}) for m in methods for size in STEP_SIZES for n in COUNTS]


def regenerate(options: Options) -> str:
    """The block for docs/results.md."""
    measured = measured_grid(options)
    paper = published.SWEEPS
    return "\n\n".join([
        page.markdown(measured, by_our_names(paper), METRICS),
        f"Paper, in the rows of step size {PAPER_STEP_SIZE:g} and of sir: {paper.source}. {paper.note} DOT moves the "
        "points themselves (target space, Adam), as its authors do in the plane.",
        page.facts({
            "n": measured.table.block_rows,
            "blocks": options.effort.sweep_blocks,
            "training seeds": 1,
            "objective": options.objective,
        }),
    ])  # fmt: skip


def by_our_names(paper: published.Published) -> published.Published:
    """``paper`` with the step size in the names of the rows that take one."""
    rows = {
        f"{name} step_size={PAPER_STEP_SIZE:g}" if " steps=" in name else name: row for name, row in paper.rows.items()
    }
    return published.Published(paper.source, paper.note, rows)


def measured_grid(options: Options) -> Measured:
    """Every row of the grid."""
    data, preset = (load(DATA, "train"), load(DATA, "test")), PRESETS[DATA]
    base = with_baselines(generator_of(preset, options), data[0], options)
    weighted = with_weights(base, preset, data[0], options, HIDDEN)
    blocks = options.effort.sweep_blocks
    n = options.effort.block_rows * blocks
    first = measure(load_bundle(base, options.device), baselines(), data, options, n, blocks)
    return together(first, measure(load_bundle(weighted, options.device), ascents(), data, options, n, blocks))
