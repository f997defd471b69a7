"""The comparison of a trace with the generator itself runs and prints its table."""

from __future__ import annotations

import threading

import pytest

from benchmarks import onecall


def test_it_prints_both_rows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["onecall", "--bundle", "bundles/gaussians-25", "--pairs", "3", "--seconds", "0.01"]
    )
    before = threading.active_count()
    assert onecall.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("gaussians-25, batches of 512")
    assert [line.split(" | ")[0] for line in lines[3:]] == ["| nothing", "| a busy thread"]
    assert threading.active_count() == before
