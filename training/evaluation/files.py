"""``report.json`` and ``report.html``: both written before the first of them is replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from training.errors import TrainingRefused

REPORT_FILE, PAGE_FILE = "report.json", "report.html"


def write_report(report: dict[str, Any], folder: Path, page: str | None = None) -> Path:
    """``report`` and, where there is one, its ``page`` in ``folder``; a page of an older report goes.

    Both are written whole beside the old ones first. Raises TrainingRefused when that fails: the old ones are intact.
    """
    texts = {REPORT_FILE: json.dumps(report, indent=1, allow_nan=False) + "\n"}
    if page is not None:
        texts[PAGE_FILE] = page
    partials = {folder / name: folder / f"{name}.partial" for name in texts}
    try:
        for partial, text in zip(partials.values(), texts.values(), strict=True):
            _write(partial, text)
        for path, partial in partials.items():
            partial.replace(path)
        if page is None:
            (folder / PAGE_FILE).unlink(missing_ok=True)
    except OSError as error:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
        raise TrainingRefused(
            f"{folder}: the report cannot be written ({error.strerror}); make room or name another bundle, "
            "the last report is as it was"
        ) from error
    return folder / REPORT_FILE


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
