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
from sampling.draw import Cost
from sampling.latentrs import sample_latentrs
from sampling.prior import sample_prior
from sampling.streams import BlockStream
from training.data.catalog import fixed_split
from training.data.dataset import Dataset
from training.evaluation.blocks import Space, rows_of
from training.evaluation.compare import BLOCKS, Table, compare, verdict
from training.metrics.intervals import CONFIDENCE

PROPOSAL_BLOCK = 4_096
GENERATED_PER_REAL = 4
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

    Real rows: the whole test split. Generated rows: up to four times as many, the same number for each method, so
    that the intervals are not mostly the generator's own sampling noise. The floor is training data in its place.
    Raises BundleError when the bundle has no weights.
    """
    if bundle.importance is None or bundle.manifest.importance is None:
        raise BundleError(f"{bundle.name} has no importance network: run winnow train weights first.")
    n = len(test)
    # Files may come sorted by class; blocks are cut in order.
    test = test.subset(torch.randperm(n, generator=torch.Generator().manual_seed(SHUFFLE_SEED)))
    multiple = max(1, min(GENERATED_PER_REAL, (len(train) - 1) // n))
    contenders = {"latentrs": bundle.importance, **{f"latentrs:{name}": w for name, w in (others or {}).items()}}
    drawn = {"prior": sample_prior(bundle.prior, None, multiple * n, BlockStream(seed, PROPOSAL_BLOCK, device))}
    for name, network in contenders.items():
        stream = BlockStream(seed, PROPOSAL_BLOCK, device)
        drawn[name] = sample_latentrs(bundle.prior, network.to(device), multiple * n, stream)
    samples = {name: decode(bundle, draw.latents) for name, draw in drawn.items()}
    floor, _ = fixed_split(train, min(multiple * n, len(train) - 1), FLOOR_SEED)
    sections = []
    for space in spaces_of(bundle):
        generated = {name: rows_of(space, rows, device) for name, rows in samples.items()}
        real, other = (rows_of(space, data.samples, device) for data in (test, floor))
        table = compare(real, other, generated, multiple=multiple)
        sections.append(_section(space, table, list(contenders)))
        block_rows = table.block_rows
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
            "block_rows": block_rows,
            "generated_rows_per_block": multiple * block_rows,
            "confidence": CONFIDENCE,
            "interval": "Student, over disjoint blocks of data and samples; paired differences block by block",
            "training_seeds": 1,
        },
        "objective": bundle.manifest.importance.objective,
        "acceptance": {name: acceptance(draw.cost) for name, draw in drawn.items()},
        "quoted_space": next((s["name"] for s in reversed(sections) if s["role"] == "independent"), None),
        "spaces": sections,
    }


@torch.no_grad()
def decode(bundle: Bundle, latents: torch.Tensor) -> torch.Tensor:
    """Samples of ``latents``; images as the server would send them (uint8), so that metrics see what users get."""
    samples = torch.cat([bundle.generator(block).cpu() for block in latents.split(DECODE_BLOCK)])
    if bundle.manifest.output.kind == "points":
        return samples
    return to_uint8(samples, *(bundle.manifest.output.range or (-1.0, 1.0)))


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


def _section(space: Space, table: Table, contenders: list[str]) -> dict[str, Any]:
    return {
        "name": space.name,
        "role": space.role,
        "methods": table.summary(),
        "minus_prior": {name: table.paired(name, "prior") for name in contenders},
        "verdicts": {name: verdict(table, name) for name in contenders},
    }
