"""Files and folders that are replaced whole, and one sentence where the disk is full."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.errors import TrainingRefused


def write_json(path: Path, content: Any) -> None:
    """``content`` in ``path``, replaced atomically. Raises TrainingRefused where it cannot be written."""
    partial = path.with_name(f"{path.name}.partial")
    with _told(path, partial):
        with partial.open("w", encoding="utf-8") as handle:
            handle.write(json.dumps(content, indent=2) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)


def replace_folder(source: Path, out: Path) -> None:
    """A copy of ``source`` at ``out``, in the place of what lies there, which stays until the copy is whole and comes
    back where that cannot take its place.

    Raises TrainingRefused where it cannot be written.
    """
    beside = out.with_name(f".{out.name}.beside")  # a level further down: a server looks for bundles one level below
    old, new = beside / "old", beside / "new"
    with _told(out, beside):
        _give_back(old, out)  # of a run that was killed between the two renames
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(source, new)
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        finally:
            _give_back(old, out)
        shutil.rmtree(beside, ignore_errors=True)


def _give_back(old: Path, out: Path) -> None:
    if old.exists() and not out.exists():
        old.rename(out)


@contextmanager
def _told(path: Path, partial: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if partial.is_dir():
            if path.exists():  # else the only copy of what lay there may be in it
                shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        reason = error.strerror or error
        raise TrainingRefused(f"{path} could not be written ({reason}); free space and start again") from error
