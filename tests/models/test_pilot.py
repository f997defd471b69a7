"""Pilot sections: what a bundle with a spoilt one says when it loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.bundle import BundleError, load_bundle
from tests.models import bundles

JBT: dict[str, Any] = {
    "rows": 100, "seed": 0, "quantiles": [0.5, 1.0, 4.0], "probes": 10, "probe_seed": 0, "derivative": "exact",
}  # fmt: skip
SIMPLICIAL: dict[str, Any] = {
    "rows": 100, "seed": 0, "quantiles": [0.5, 0.6, 0.9], "kind": "fitted", "radius": 1.0,
    "seeds": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
}  # fmt: skip


def written(folder: Path, **sections: Any) -> Path:
    bundles.edit(bundles.write(folder / "small"), lambda document: document.update(pilot=sections))
    return folder / "small"


def test_whole_sections_are_read(tmp_path: Path) -> None:
    pilot = load_bundle(written(tmp_path, jbt=JBT, simplicial=SIMPLICIAL)).manifest.pilot
    assert pilot.jbt is not None and pilot.jbt.quantiles == (0.5, 1.0, 4.0)
    assert pilot.simplicial is not None and pilot.simplicial.seeds[1] == (0.0, 1.0, 0.0)


def test_repeated_quantiles_are_no_mistake(tmp_path: Path) -> None:
    """A piecewise linear generator has one Jacobian for a whole region of latents."""
    load_bundle(written(tmp_path, jbt={**JBT, "quantiles": [1.0, 1.0, 2.0, 2.0]}))


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("jbt", "quantiles", [1.0, 0.5, 2.0], "the quantiles must ascend"),
        ("jbt", "quantiles", [2.0, 2.0, 2.0], "the quantiles are all the same"),
        ("jbt", "quantiles", [-1.0, 0.5, 2.0], "the quantiles must not be negative"),
        ("jbt", "quantiles", [0.5, NAN, 2.0], "pilot.jbt.quantiles.1: Input should be a finite number"),
        ("jbt", "quantiles", [0.5, INFINITY], "pilot.jbt.quantiles.1: Input should be a finite number"),
        ("jbt", "quantiles", [0.5], "pilot.jbt.quantiles: Tuple should have at least 2 items"),
        ("jbt", "quantiles", list(range(10_002)), "pilot.jbt.quantiles: Tuple should have at most 10001 items"),
        ("jbt", "quantiles", "many", "pilot.jbt.quantiles: Input should be a valid tuple"),
        ("jbt", "rows", 0, "pilot.jbt.rows: Input should be greater than or equal to 1"),
        ("jbt", "probes", 0, "pilot.jbt.probes: Input should be greater than or equal to 1"),
        ("jbt", "probes", 1_001, "pilot.jbt.probes: Input should be less than or equal to 1000"),
        ("jbt", "probe_seed", -1, "pilot.jbt.probe_seed: Input should be greater than or equal to 0"),
        ("jbt", "probe_seed", 2**63, "pilot.jbt.probe_seed: Input should be less than 9223372036854775808"),
        ("jbt", "derivative", "guess", "pilot.jbt.derivative: Input should be 'exact' or 'difference'"),
        ("jbt", "colour", "red", "pilot.jbt.colour: Extra inputs are not permitted"),
        ("simplicial", "quantiles", [0.9, 0.5], "the quantiles must ascend"),
        ("simplicial", "quantiles", [0.5, 1.5], "the quantiles must be at most 1"),
        ("simplicial", "seeds", [[1.0, 0.0, 0.0], [0.0, 1.0]], "the seeds must all have the same dimension"),
        ("simplicial", "seeds", [[1.0, 0.0], [0.0, 1.0]], "simplicial seeds have dimension 2, the prior 3"),
        ("simplicial", "seeds", [[1.0, 0.0, 0.0]], "pilot.simplicial.seeds: Tuple should have at least 2 items"),
        ("simplicial", "seeds", [[NAN, 0.0, 0.0], [0.0, 1.0, 0.0]], "Input should be a finite number"),
        ("simplicial", "radius", 0.0, "pilot.simplicial.radius: Input should be greater than 0"),
        ("simplicial", "kind", "random", "pilot.simplicial.kind: Input should be 'regular' or 'fitted'"),
    ],
)
def test_a_spoilt_section_is_refused_in_one_sentence(
    tmp_path: Path, section: str, key: str, value: Any, says: str
) -> None:
    whole = {"jbt": JBT, "simplicial": SIMPLICIAL}[section]
    with pytest.raises(BundleError, match=r"bundle\.json: |small: ") as refusal:
        load_bundle(written(tmp_path, **{section: {**whole, key: value}}))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"pilot\.astrology: Extra inputs are not permitted"):
        load_bundle(written(tmp_path, astrology={}))
