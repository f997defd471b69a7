"""What ships: weights that passed the gate, and a report on these very files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.bundle import load_bundle
from training.build import EMBEDDED

BUNDLES = Path(__file__).parents[2] / "bundles"


def test_each_embedded_bundle_has_a_recipe() -> None:
    assert {path.name for path in BUNDLES.iterdir() if path.is_dir()} == set(EMBEDDED)


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_bundle_passed_the_gate_by_its_own_report(name: str) -> None:
    bundle = load_bundle(BUNDLES / name)
    report = json.loads((BUNDLES / name / "report.json").read_text())
    networks, importance = bundle.manifest.networks, bundle.manifest.importance
    assert importance is not None
    assert (importance.verdict, importance.reason) == (report["gate"]["verdict"], report["gate"]["reason"])
    assert importance.verdict == "passed"
    assert importance.objective == report["objective"] == report["selection"]["chosen"]
    assert bundle.digest == report["bundle_digest"]
    assert networks["generator"].sha256 == report["generator_sha256"]
    assert networks["importance"].sha256 == report["importance_sha256"]
    assert report["gate"]["reason"] in (BUNDLES / name / "report.html").read_text()
