"""The table of README is that of the report that ships."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report_table import verdict_table


def test_the_table_of_readme_is_the_reports_own() -> None:
    report = json.loads(Path("bundles/fashion-mnist/report.json").read_text())
    assert verdict_table(report["spaces"][-1]) in Path("README.md").read_text()
