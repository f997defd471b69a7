"""The table of README is that of the report that ships."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report_table import objectives_table, verdict_table


def test_the_table_of_readme_is_the_reports_own() -> None:
    report = json.loads(Path("bundles/fashion-mnist/report.json").read_text())
    assert verdict_table(report["spaces"][-1]) in Path("README.md").read_text()


def test_objectives_that_were_not_drawn_from_have_no_line() -> None:
    report = json.loads(Path("bundles/fashion-mnist/report.json").read_text())
    space = report["spaces"][-1]
    lines = objectives_table(report, space).splitlines()[3:]
    assert len(lines) == len(space["objectives"]["minus_prior"]) < len(report["selection"]["held_out_energy_distance"])
    assert lines[0].startswith(f"| `{report['selection']['chosen']}` |")
