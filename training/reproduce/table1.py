"""Table 1: the Swiss roll and 25 Gaussians in DOT's setting, all methods, and three checkpoints of each generator."""

from __future__ import annotations

from pathlib import Path

from models.bundle import Bundle, load_bundle
from training.data.catalog import load
from training.data.dataset import Dataset
from training.pilot.add import tune_ascents
from training.reproduce import page, published
from training.reproduce.attainable import Attainable, attainable
from training.reproduce.measure import Measured, Row, measure, together
from training.reproduce.options import SEED, Options
from training.reproduce.subject import generator_of, part_of, steps_of, train, with_baselines, with_weights

PRESETS = {"swiss-roll": "dot-swiss-roll", "gaussians-25": "dot-gaussians-25"}
TITLES = {"swiss-roll": "Swiss roll", "gaussians-25": "25 Gaussians"}
HIDDEN = (64, 64, 64)
"""Of w in the plane, where the papers do not say: the generator itself has 256 units a layer."""
BASELINES: tuple[Row, ...] = (("prior", {}), ("drs", {}), ("mh", {}), ("sir", {}), ("dot", {}))
LATENT: tuple[Row, ...] = (("prior", {}), ("latentrs", {}), ("latentga", {}), ("latentrsga", {}))
LEAD = "emd_squared"
METRICS = (LEAD, "precision", "recall", "energy_distance")


def regenerate(options: Options) -> str:
    """The block for docs/results.md."""
    return "\n\n".join(_data_set(name, options) for name in PRESETS)


def _data_set(name: str, options: Options) -> str:
    data = load(name, "train"), load(name, "test")
    paper = published.TABLE_1[name]
    measured, best = whole(name, data, options)
    share = best.share(measured, "latentrs", LEAD)
    ceiling = best.table.summary()["attainable"][LEAD]
    return "\n\n".join([
        f"### {TITLES[name]}",
        page.markdown(measured, paper, METRICS),
        f"Best capped weights of single samples (attainable): W2² {ceiling['mean']:.4f} ± {ceiling['half_width']:.4f}; "
        f"latentRS reached {_percent(share)} of that gain.",
        _checkpoints(name, data, (measured, best), options),
        f"Paper: {paper.source}. {paper.note}",
        _facts(name, measured, options),
    ])  # fmt: skip


def whole(name: str, data: tuple[Dataset, Dataset], options: Options) -> tuple[Measured, Attainable]:
    """Every row of the table for one data set, and what was attainable."""
    preset = PRESETS[name]
    base = with_baselines(generator_of(preset, options), data[0], options)
    weighted = with_weights(base, preset, data[0], options, HIDDEN)
    tune_ascents(weighted, part_of(data[0], options), SEED, options.device)
    n, blocks = options.effort.block_rows * options.effort.blocks, options.effort.blocks
    latent = load_bundle(weighted, options.device)
    first = measure(load_bundle(base, options.device), BASELINES, data, options, n, blocks)
    measured = together(first, measure(latent, LATENT, data, options, n, blocks))
    return measured, attainable(latent, data[1], measured, options)


def _checkpoints(name: str, data: tuple[Dataset, Dataset], final: tuple[Measured, Attainable], options: Options) -> str:
    lines = [
        "| generator steps | W2², prior | W2², latentRS | excess gone | of what was attainable | floor |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for moment, step in steps_of(train(PRESETS[name], options)).items():
        measured, best = final if moment == "final" else checkpoint(name, step, data, options)
        cells = [
            f"{step:,} ({moment})",
            page.our_cell(measured, "prior", LEAD),
            page.our_cell(measured, "latentrs", LEAD),
            _percent(page.excess_gone(measured, "latentrs", LEAD)),
            _percent(best.share(measured, "latentrs", LEAD)),
            page.our_cell(measured, "floor", LEAD),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def checkpoint(name: str, step: int, data: tuple[Dataset, Dataset], options: Options) -> tuple[Measured, Attainable]:
    """Prior and latentRS of the generator at ``step``, with weights of its own."""
    source = generator_of(PRESETS[name], options, step)
    weighted = with_weights(source, source.name, data[0], options, HIDDEN)
    bundle = load_bundle(weighted, options.device)
    effort = options.effort
    measured = measure(bundle, LATENT[:2], data, options, effort.block_rows * effort.blocks, effort.blocks)
    return measured, attainable(bundle, data[1], measured, options)


def _facts(name: str, measured: Measured, options: Options) -> str:
    bundle: Bundle = load_bundle(_final(name, options))
    assert bundle.manifest.calibration is not None
    defaults = bundle.manifest.defaults
    return page.facts({
        "n": measured.table.block_rows,
        "blocks": options.effort.blocks,
        "training seeds": 1,
        "objective": options.objective,
        "steps of latentga, latentrsga": ", ".join(str(defaults[name]["steps"]) for name in ("latentga", "latentrsga")),
        "weights' effective sample size": f"{bundle.manifest.calibration.effective_sample_size:.2f}",
        "generator": bundle.manifest.description.rstrip("."),
    })  # fmt: skip


def _final(name: str, options: Options) -> Path:
    return options.work / options.objective / PRESETS[name] / "bundle"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
