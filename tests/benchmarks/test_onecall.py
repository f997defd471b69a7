"""The comparison of a trace with the generator itself runs and prints its table."""

from __future__ import annotations

import threading

import pytest
import torch

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


def test_it_compares_what_torch_compiles(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes a compiler and half a minute: the graph is run as it is here."""
    monkeypatch.setattr(torch, "compile", lambda module, **settings: module)
    monkeypatch.setattr(
        "sys.argv", ["onecall", "--bundle", "bundles/gaussians-25", "--pairs", "3", "--seconds", "0.01", "--compile"]
    )
    assert onecall.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "compiled: the same bytes as the generator's own" and "compiled / as it is" in lines[2]
