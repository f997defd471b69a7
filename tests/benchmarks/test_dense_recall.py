"""Recall by rows: blocks of either side belong together, and the table says what it was asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.dense_recall import main, recalls


def test_each_block_of_real_rows_is_held_against_generated_rows_of_its_own() -> None:
    here, there = torch.zeros(8, 2), torch.full((8, 2), 9.0)
    assert recalls(torch.cat([here[:4], there[:4]]), torch.cat([here, there]), 4) == [1.0, 1.0]
    assert recalls(torch.cat([here[:4], there[:4]]), torch.cat([here, here]), 4) == [1.0, 0.0]


def test_the_table_is_written_between_its_markers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table: python -m benchmarks.dense_recall -->\n<!-- end of table -->\n")
    assert main(["swiss-roll", "--sizes", "50", "--generated", "1", "4", "--blocks", "3", "--out", str(page)]) == 0
    lines = page.read_text().splitlines()
    assert [text.split(" | ")[1] for text in lines[5:7]] == ["50", "200"]
    assert capsys.readouterr().out.strip() in page.read_text()


@pytest.mark.parametrize("name", ["digits", "nothing"])
def test_another_bundle_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SystemExit, match=r"^benchmarks\.dense_recall: ") as refused:
        main([name, "--sizes", "10"])
    assert "\n" not in str(refused.value)
