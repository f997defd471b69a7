"""``report.json``: prior against latentRS on held-out data, in every feature space, with intervals and verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.bundle import Bundle, BundleError
from models.importance import ImportanceNetwork
from models.manifest import SCHEMA_VERSION
from models.pixels import to_uint8
from sampling.draw import Cost, Draw
from sampling.latentrs import sample_latentrs
from sampling.prior import sample_prior
from sampling.streams import BlockStream
from training.data.catalog import fixed_split
from training.data.dataset import Dataset
from training.evaluation.blocks import Space, rows_of
from training.evaluation.compare import BLOCKS, Table, compare, verdict
from training.metrics.intervals import CONFIDENCE

PROPOSAL_BLOCK = 4_096
GENERATED_PER_REAL, MOST_GENERATED = 10, 100_000
OTHERS_PER_REAL = 4
"""Generated rows to each test row: for the verdict, and for the other objectives (each costs as much again)."""
DECODE_BLOCK = 500
FLOOR_SEED, SHUFFLE_SEED = 5, 6
REPORT_FILE = "report.json"


def spaces_of(bundle: Bundle) -> list[Space]:
    """The feature spaces a bundle carries, the independent one last; raw coordinates where it has none."""
    spaces = []
    if "features" in bundle.networks:
        name = bundle.manifest.networks["features"].architecture
        spaces.append(Space(name, "training", bundle.networks["features"]))
    if "features_independent" in bundle.networks:
        name = bundle.manifest.networks["features_independent"].architecture
        spaces.append(Space(name, "independent", bundle.networks["features_independent"]))
    return spaces or [Space("raw", "training", None)]


def evaluate(
    bundle: Bundle,
    train: Dataset,
    test: Dataset,
    seed: int,
    device: torch.device,
    others: Mapping[str, ImportanceNetwork] | None = None,
) -> dict[str, Any]:
    """The report of ``bundle`` (on ``device``); ``others`` are weights of further objectives for the same generator.

    Real rows: the whole test split. Generated rows: up to ten times as many, the same number for prior and
    latentRS, so that the intervals are not mostly the generator's own sampling noise; four times as many for a
    second table with the other objectives in it. The floor is training data in the place of generated rows.
    Raises BundleError when the bundle has no weights.
    """
    if bundle.importance is None or bundle.manifest.importance is None:
        raise BundleError(f"{bundle.name} has no importance network: run winnow train weights first.")
    n = len(test)
    # Files may come sorted by class; blocks are cut in order.
    test = test.subset(torch.randperm(n, generator=torch.Generator().manual_seed(SHUFFLE_SEED)))
    rows = n * max(1, min(GENERATED_PER_REAL, MOST_GENERATED // n))
    fewer = min(rows, n * OTHERS_PER_REAL)
    drawn = _draw(bundle, rows, fewer, seed, device, others or {})
    samples = {name: decode(bundle, draw) for name, draw in drawn.items()}
    floor, _ = fixed_split(train, min(rows, len(train) - 2), FLOOR_SEED)  # a data set holds at least 2 rows
    sections = [_compare_in(space, test, floor, samples, fewer, device) for space in spaces_of(bundle)]
    return {
        "schema_version": SCHEMA_VERSION,
        "model": bundle.name,
        "bundle_digest": bundle.digest,
        "generator_sha256": bundle.manifest.networks["generator"].sha256,
        "importance_sha256": bundle.manifest.networks["importance"].sha256,
        "data": {"name": test.name, "split": "test", "rows": n, "used_in_training_or_selection": False},
        "protocol": {
            "seed": seed,
            "blocks": BLOCKS,
            "block_rows": sections[0]["block_rows"],
            "generated_rows_per_block": rows // BLOCKS,
            "generated_rows_per_block_of_objectives": fewer // BLOCKS,
            "floor_rows_per_block": len(floor) // BLOCKS,
            "confidence": CONFIDENCE,
            "interval": "Student, over disjoint blocks of data and samples; paired differences block by block",
            "training_seeds": 1,
        },
        "objective": bundle.manifest.importance.objective,
        "acceptance": {name: acceptance(draw.cost) for name, draw in drawn.items()},
        "quoted_space": next((s["name"] for s in reversed(sections) if s["role"] == "independent"), None),
        "spaces": sections,
    }


def _draw(
    bundle: Bundle, rows: int, fewer: int, seed: int, device: torch.device, others: Mapping[str, ImportanceNetwork]
) -> dict[str, Draw]:
    """``rows`` latents of the prior and of latentRS, ``fewer`` of latentRS with each other w."""
    assert bundle.importance is not None
    drawn = {"prior": sample_prior(bundle.prior, None, rows, BlockStream(seed, PROPOSAL_BLOCK, device))}
    wanted = {"latentrs": (bundle.importance, rows)}
    wanted |= {f"latentrs:{name}": (network, fewer) for name, network in others.items()}
    for name, (network, n) in wanted.items():
        drawn[name] = sample_latentrs(bundle.prior, network.to(device), n, BlockStream(seed, PROPOSAL_BLOCK, device))
    return drawn


def _compare_in(
    space: Space, test: Dataset, floor: Dataset, samples: dict[str, torch.Tensor], fewer: int, device: torch.device
) -> dict[str, Any]:
    """Prior against latentRS on all their rows; every objective, where there are more, on ``fewer`` rows each."""
    generated = {name: rows_of(space, rows, device) for name, rows in samples.items()}
    real, other = (rows_of(space, data.samples, device) for data in (test, floor))
    table = compare(real, other, {name: generated[name] for name in ("prior", "latentrs")})
    section = {"name": space.name, "role": space.role, "block_rows": table.block_rows, **_section(table)}
    if len(generated) > 2:
        cut = {name: found[:fewer] for name, found in generated.items()}
        section["objectives"] = _section(compare(real, other[:fewer], cut))
    return section


@torch.no_grad()
def decode(bundle: Bundle, drawn: Draw) -> torch.Tensor:
    """Samples of a draw; images as the server would send them (uint8), so that metrics see what users get."""
    samples = drawn.samples
    if samples is None:
        samples = torch.cat([bundle.generator(block).cpu() for block in drawn.latents.split(DECODE_BLOCK)])
    if bundle.manifest.output.kind == "points":
        return samples.cpu()
    return to_uint8(samples.cpu(), *(bundle.manifest.output.range or (-1.0, 1.0)))


def acceptance(cost: Cost) -> dict[str, float]:
    """Observed rate with its binomial standard error."""
    rate = cost.acceptance_rate
    error = (rate * (1 - rate) / cost.proposals) ** 0.5
    return {"proposals": cost.proposals, "accepted": cost.accepted, "rate": rate, "standard_error": error}


def write_report(report: dict[str, Any], folder: Path) -> Path:
    """``report.json`` in ``folder``."""
    path = folder / REPORT_FILE
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    return path


def _section(table: Table) -> dict[str, Any]:
    contenders = [name for name in table.values if name not in ("floor", "prior")]
    return {
        "methods": table.summary(),
        "minus_prior": {name: table.paired(name, "prior") for name in contenders},
        "verdicts": {name: verdict(table, name) for name in contenders},
    }
