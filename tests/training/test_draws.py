"""What a table's run drew is found again, and a stopped run leaves nothing that misleads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.bundle import load_bundle
from sampling.draw import Cost
from training.draws import Drawn, Shelf, kept_table, label, make
from training.evaluation.blocks import Space

POINTS = Path(__file__).parents[2] / "bundles" / "gaussians-25"


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    drawn = make(load_bundle(POINTS), "sir", {"candidates": 3}, 50, 7, torch.device("cpu"))
    Shelf(tmp_path / "new").keep_drawn("sir candidates=3", drawn)
    found = Shelf(tmp_path / "new").drawn("sir candidates=3")
    assert found is not None and found.cost == drawn.cost and torch.equal(found.samples, drawn.samples)
    assert found.samples.shape == (50, 2) and found.cost.acceptance_rate == pytest.approx(1 / 3)
    assert Shelf(tmp_path / "new").drawn("sir") is None


def test_results_are_found_again(tmp_path: Path) -> None:
    Shelf(tmp_path).keep_result("prior", {"ratio": 1.5})
    assert Shelf(tmp_path).result("prior") == {"ratio": 1.5}
    assert Shelf(tmp_path).result("latentrs") is None


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", b"3", b"[1"])
def test_a_file_cut_short_counts_as_none(tmp_path: Path, content: bytes) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / "prior.safetensors").write_bytes(content)
    (tmp_path / "prior.json").write_bytes(content)
    assert shelf.drawn("prior") is None
    assert shelf.result("prior") is None
    shelf.keep_drawn("prior", Drawn(torch.zeros(2, 2), Cost(1, 1)))
    assert shelf.drawn("prior") is not None


def test_a_shelf_without_a_folder_keeps_nothing() -> None:
    shelf = Shelf(None)
    shelf.keep_result("prior", {})
    shelf.keep_drawn("prior", Drawn(torch.zeros(1, 2), Cost()))
    assert shelf.result("prior") is None and shelf.drawn("prior") is None


def test_a_label_holds_the_method_and_its_settings() -> None:
    assert label("dot", {"steps": 2, "step_size": 0.01}) == "dot steps=2 step_size=0.01"


def test_metrics_of_other_samples_or_other_data_under_an_old_name_are_measured_anew(tmp_path: Path) -> None:
    rows = [torch.randn(40, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    shelf, space, cpu = Shelf(tmp_path), Space("samples", "raw coordinates", None), torch.device("cpu")

    def energies(samples: torch.Tensor, real: torch.Tensor) -> object:
        return kept_table(shelf, space, real, {"ours": samples}, cpu, blocks=2).values["ours"]["energy_distance"]

    first = energies(rows[1], rows[0])
    assert energies(rows[1], rows[0]) == first
    assert first != energies(rows[2], rows[0]) and first != energies(rows[1], rows[2])
