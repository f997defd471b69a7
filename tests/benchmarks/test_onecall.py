"""The comparison of a trace with the generator itself runs and prints its table."""

from __future__ import annotations

import mmap
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from time import sleep

import pytest
import torch

from benchmarks import onecall
from models.bundle import load_bundle
from service.engine.onecall import Decode


def test_it_prints_each_way_beside_both(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["onecall", "--bundle", "bundles/gaussians-25", "--pairs", "3", "--seconds", "0.01"]
    )
    assert onecall.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("gaussians-25, batches of 512")
    assert lines[1] == "one call: the same bytes as the generator's own"
    cells = [line.strip("| ").split(" | ") for line in lines[4:]]
    assert [row[:2] for row in cells] == [
        [beside, way] for beside in ("nothing", "a busy thread") for way in ("as it is", "one call")
    ]
    assert all(float(row[2]) > 0 and float(row[3].split()[0]) > 0 and row[4] == row[3] for row in cells)


def test_a_way_that_fails_ends_the_comparison() -> None:
    with pytest.raises(EOFError), onecall.worker("as it is", Path("no such bundle"), 1):
        pass


def test_a_busy_thread_ends() -> None:
    before = threading.active_count()
    with onecall.busy():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_what_torch_compiles_gives_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes a compiler and half a minute: the graph is run as it is here."""
    monkeypatch.setattr(torch, "compile", lambda module, **settings: module)
    bundle = load_bundle(Path("bundles/gaussians-25"))
    latents = torch.randn(5, bundle.prior.dim)
    ways: list[Decode] = [make(bundle, latents) for make in onecall.WAYS.values()]
    rows = [way(latents) for way in ways]
    assert rows[0].shape == (5, 2) and all((row == rows[0]).all() for row in rows)


def test_windows_count_what_ran_in_them() -> None:
    """Each batch writes to 64 new pages of its own; what the allocator would give back plays no part."""
    size = 64 * resource.getpagesize()
    calls: list[mmap.mmap] = []

    def batch() -> None:
        calls.append(mmap.mmap(-1, size))
        calls[-1].write(b"x" * size)
        sleep(0.01)

    found = onecall.window(batch, seconds=0.1)
    assert found.batches_per_second <= min(len(calls), 10) / 0.1 and found.pages >= 64
    assert onecall.window(lambda: sleep(0.01), seconds=0.1).pages < found.pages


def test_only_a_crowded_window_has_the_busy_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []

    @contextmanager
    def busy() -> Iterator[None]:
        entered.append(True)
        yield

    monkeypatch.setattr(onecall, "busy", busy)
    here, there = Pipe()
    threads = torch.get_num_threads()
    arguments = (there, "as it is", Path("bundles/gaussians-25"), threads)
    worker = threading.Thread(target=onecall.work, args=arguments)
    worker.start()
    assert len(here.recv()) == 64  # the digest of its bytes
    counts = []
    for crowded in (False, True, False):
        here.send((0.01, crowded))
        assert here.recv().batches_per_second > 0
        counts.append(len(entered))
    here.close()
    worker.join()
    assert counts == [0, 1, 1]
