"""``report.json``: prior against the other methods on held-out data, in every feature space, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch

from models.bundle import Bundle, BundleError
from models.importance import ImportanceNetwork
from models.manifest import SCHEMA_VERSION, NetworkRole
from sampling.methods import METHODS
from training.data.catalog import fixed_split
from training.data.dataset import Dataset
from training.errors import TrainingRefused
from training.evaluation.blocks import Rows, Space, matched_sets, rows_of
from training.evaluation.compare import BLOCKS, Table, compare
from training.evaluation.curves import marginal_precision, shares_of_classes, weight_histogram
from training.evaluation.drawing import Drawn, acceptance, costs, draw_method, draw_weights, stream_seed
from training.evaluation.gate import Limits, judge
from training.evaluation.seeds import over_seeds
from training.extractor import Extractor
from training.metrics.intervals import CONFIDENCE

ROWS_PER_REAL = {True: 2, False: 4}
"""Generated rows to each real one, with feature networks (1.2 ms a row on a core, decoded) and without."""
MOST_GENERATED = 100_000
FLOOR_SEED, SHUFFLE_SEED = 5, 6
RAW_VALUES = 28 * 28
"""Values a sample may have to be its own features: the steps of a 28 x 28 bundle may come in any order."""
ROLES: dict[NetworkRole, str] = {"features": "training", "features_independent": "independent"}
FAST_METHODS = ("prior", "latentrs", "latentga", "latentrsga")
"""They decode what they return, once. The others cost 2 to 40 times that: one generated row to each real one."""


@dataclass(frozen=True)
class Options:
    """``methods`` besides prior and latentrs, None for the other latent ones that the bundle can do.

    ``rows_per_real``: generated rows to each real one, of the fast methods; None for the usual number, which further
    weights keep.
    ``spaces``: the bundle's own without them; the last is quoted.
    """

    methods: tuple[str, ...] | None = None
    limits: Limits = field(default_factory=Limits)
    rows_per_real: int | None = None
    spaces: list[Space] | None = None


DEFAULT_OPTIONS = Options()


def spaces_of(bundle: Bundle, features: Extractor | None = None, independent: Extractor | None = None) -> list[Space]:
    """The feature spaces to judge ``bundle`` in, the independent one last; raw coordinates where there is none. Two
    networks of one architecture are told apart by their roles.

    ``features``, ``independent``: networks in the place of the bundle's own. Raises TrainingRefused for one network
    twice, and for larger images without any: distances between pixels miss what is like what, and take gigabytes.
    """
    if features and independent and features.sha256 == independent.sha256:
        raise TrainingRefused(
            "--independent-features names the network of --features: give one that training did not see"
        )
    given: dict[NetworkRole, Extractor | None] = {"features": features, "features_independent": independent}
    spaces = []
    for role, told in ROLES.items():
        if extractor := given[role]:
            spaces.append(Space(extractor.name, told, extractor))
        elif role in bundle.networks:
            spaces.append(Space(bundle.manifest.networks[role].architecture, told, bundle.networks[role]))
    output = bundle.manifest.output
    if not spaces and output.kind == "image" and prod(output.shape) > RAW_VALUES:
        raise TrainingRefused(
            f"{bundle.name} makes images of shape {output.shape} and has no feature network to judge them in: give "
            "--features PATH, or run winnow train features; winnow train weights takes --no-gate, too"
        )
    names = Counter(space.name for space in spaces)  # rows of samples are kept by the space's name
    spaces = [replace(s, name=f"{s.name}-{s.role}") if names[s.name] > 1 else s for s in spaces]
    return spaces or [Space("raw", "training", None)]


def evaluate(
    bundle: Bundle,
    train: Dataset,
    test: Dataset,
    seed: int,
    device: torch.device,
    others: Mapping[str, ImportanceNetwork] | None = None,
    options: Options = DEFAULT_OPTIONS,
    seeds: Mapping[str, ImportanceNetwork] | None = None,
) -> dict[str, Any]:
    """The report of ``bundle`` (on ``device``); docs/evaluation.md tells what it claims.

    ``others``: weights of further objectives, ``seeds``: of further training seeds, for the same generator. The floor
    is training data in the place of generated rows. Raises BundleError when the bundle has no weights,
    TrainingRefused for a method that it cannot do.
    """
    require_weights(bundle)
    names, unavailable = choose_methods(bundle, options.methods)
    spaces, real = options.spaces or spaces_of(bundle), shuffled(test)
    n = rows_for(spaces, len(real), options)
    drawn = {name: draw_method(bundle, name, n if name in FAST_METHODS else len(real), seed, spaces, device)
             for name in names}  # fmt: skip
    further = {"objectives": dict(others or {}), "seeds": dict(seeds or {})}
    few = min(n, rows_for(spaces, len(real), DEFAULT_OPTIONS))
    weighted = _draw_further(bundle, further, few, seed, spaces, device)
    first = len(METHODS) + sum(map(len, further.values()))
    priors = {name: draw_method(bundle, "prior", few, seed, spaces, device, first + i)
              for i, name in enumerate(further["seeds"])}  # fmt: skip
    floor = floor_of(train, n)
    sections, quoted = [], {}
    for space in spaces:
        held_out, other = (rows_of(space, data.samples, device) for data in (real, floor))
        sections.append(_section(space, held_out, other, drawn, weighted, priors, options.limits))
        quoted = {"real": held_out, **{name: item.rows[space.name] for name, item in drawn.items()}}
    every = drawn | {f"latentrs:{name}": item for group in weighted.values() for name, item in group.items()}
    manifest = bundle.manifest
    assert manifest.importance is not None
    return {
        "schema_version": SCHEMA_VERSION,
        "model": bundle.name,
        "bundle_digest": bundle.digest,
        "generator_sha256": manifest.networks["generator"].sha256,
        "importance_sha256": manifest.networks["importance"].sha256,
        "data": {"name": test.name, "split": "test", "rows": len(real), "used_in_training_or_selection": False},
        "protocol": protocol(seed, sections[0]["block_rows"], n, few, len(floor), 1 + len(further["seeds"])),
        "objective": manifest.importance.objective,
        "acceptance": {name: acceptance(item.cost) for name, item in every.items()},
        "cost": {name: costs(item, drawn["prior"]) for name, item in every.items()},
        "methods_unavailable": unavailable,
        "quoted_space": next((s["name"] for s in reversed(sections) if s["role"] == "independent"), None),
        "spaces": sections,
        "gate": gate_of(sections[-1], options.limits),
        "curves": _curves(bundle, quoted, drawn["prior"]),
    }


def require_weights(bundle: Bundle) -> None:
    """Raises BundleError."""
    if bundle.importance is None or bundle.manifest.importance is None:
        raise BundleError(f"{bundle.name} has no importance network: run winnow train weights first.")


def choose_methods(bundle: Bundle, wanted: tuple[str, ...] | None) -> tuple[list[str], dict[str, str]]:
    """Methods to draw, prior and latentrs first, and why others of those ``wanted`` cannot be.

    Raises TrainingRefused for a name that is none.
    """
    if unknown := [name for name in wanted or () if name not in METHODS]:
        raise TrainingRefused(f"there is no method {unknown[0]!r}; the methods are {', '.join(METHODS)}")
    asked = dict.fromkeys(("prior", "latentrs", *(FAST_METHODS if wanted is None else wanted)))
    lacking = {name: METHODS[name].missing(bundle) for name in asked}
    told = {name: f"needs {' and '.join(missing)}" for name, missing in lacking.items() if missing}
    return [name for name in asked if name not in told], told


def shuffled(data: Dataset) -> Dataset:
    """Files may come sorted by class; blocks are cut in order."""
    return data.subset(torch.randperm(len(data), generator=torch.Generator().manual_seed(SHUFFLE_SEED)))


def rows_for(spaces: list[Space], real: int, options: Options) -> int:
    """Generated rows of a method for ``real`` held-out rows."""
    usual = ROWS_PER_REAL[spaces[0].network is not None]
    return real * (options.rows_per_real or max(1, min(usual, MOST_GENERATED // real)))


def floor_of(train: Dataset, rows: int) -> Dataset:
    """``rows`` of real data in the fakes' place, or what there is."""
    floor, _ = fixed_split(train, min(rows, len(train) - 2), FLOOR_SEED)  # a data set holds at least 2 rows
    return floor


def protocol(
    seed: int, block_rows: int, generated: int, of_objectives: int, floor: int, training_seeds: int
) -> dict[str, Any]:
    """How the numbers of a report came about."""
    per_block = {"generated": generated // BLOCKS, "objectives": of_objectives // BLOCKS, "floor": floor // BLOCKS}
    return {
        "seed": seed,
        "blocks": BLOCKS,
        "block_rows": block_rows,
        "generated_rows_per_block": per_block["generated"],
        "generated_rows_per_block_of_objectives": per_block["objectives"],
        "generated_rows_per_block_of_slow": block_rows,
        "floor_rows_per_block": per_block["floor"],
        "emd_sets_per_block": {which: matched_sets(block_rows, rows) for which, rows in per_block.items()},
        "confidence": CONFIDENCE,
        "interval": "Student, over disjoint blocks of data and samples; paired differences block by block",
        "training_seeds": training_seeds,
    }


def gate_of(section: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The gate's verdict on w: that on latentRS in the quoted space, the last."""
    found = section["verdicts"]["latentrs"]
    return {
        "verdict": "passed" if found["passed"] else "rejected",
        "reason": found["reason"],
        "method": "latentrs",
        "space": section["name"],
        "role": section["role"],
        "minimum_effect": limits.minimum_effect,
        "max_recall_loss": limits.max_recall_loss,
    }


def _draw_further(
    bundle: Bundle, further: dict[str, dict[str, ImportanceNetwork]], n: int, seed: int, spaces: list[Space],
    device: torch.device,
) -> dict[str, dict[str, Drawn]]:  # fmt: skip
    """LatentRS with every other w, each from a stream of its own."""
    index = len(METHODS)
    found: dict[str, dict[str, Drawn]] = {}
    for group, networks in further.items():
        found[group] = {}
        for name, network in networks.items():
            found[group][name] = draw_weights(bundle, network, n, stream_seed(seed, index), spaces, device)
            index += 1
    return found


def _section(
    space: Space, real: Rows, floor: Rows, drawn: dict[str, Drawn], weighted: dict[str, dict[str, Drawn]],
    priors: dict[str, Drawn], limits: Limits,
) -> dict[str, Any]:  # fmt: skip
    """The fast methods; beside prior and latentrs every other w; and, on fewer rows, the slow methods.

    ``priors``: a draw for each further training seed.
    """
    fast = {name: item.rows[space.name] for name, item in drawn.items() if name in FAST_METHODS}
    slow = {name: item.rows[space.name] for name, item in drawn.items() if name not in fast}
    table = compare(real, floor, fast)
    section = {"name": space.name, "role": space.role, "block_rows": table.block_rows, **summarise(table, limits)}
    for group, items in weighted.items():
        if items:
            rows = {f"latentrs:{name}": item.rows[space.name] for name, item in items.items()}
            few = slice(min(len(item.features) for item in rows.values()))
            found = compare(real, floor, {"prior": fast["prior"][few], "latentrs": fast["latentrs"][few], **rows})
            section[group] = summarise(found, limits)
            if group == "seeds":
                own = {f"latentrs:{name}": item.rows[space.name] for name, item in priors.items()}
                common = compare(real, floor, {"latentrs": fast["prior"][few], **own})
                section[group]["over_seeds"] = over_seeds(found, common, section[group]["verdicts"])
    if slow:
        n = len(real.features)
        section["slow"] = summarise(
            compare(real, floor[:n], {**{name: rows[:n] for name, rows in fast.items()}, **slow}), limits
        )
    return section


def summarise(table: Table, limits: Limits) -> dict[str, Any]:
    """Means with intervals, paired differences to the prior, verdicts."""
    contenders = [name for name in table.values if name not in ("floor", "prior")]
    return {
        "methods": table.summary(),
        "minus_prior": {name: table.paired(name, "prior") for name in contenders},
        "verdicts": {name: judge(table, name, "prior", limits) for name in contenders},
    }


def _curves(bundle: Bundle, quoted: dict[str, Rows], prior: Drawn) -> dict[str, Any]:
    assert bundle.importance is not None and prior.weights is not None
    shown = {name: quoted[name] for name in ("real", "prior", "latentrs")}
    return {
        "marginal_precision": marginal_precision(quoted["real"].features, quoted["prior"].features, prior.weights),
        "weight_histogram": weight_histogram(prior.weights, bundle.importance.cap),
        "class_shares": shares_of_classes(shown),
    }
