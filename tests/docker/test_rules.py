"""The shipped rules: promtool accepts them and their tests, they name what exists, the runbook has each alert."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from observed import FASTER, PROMETHEUS, ROOT, RULES, faster, faster_rules, tool
from promql import complaints

Rule = dict[str, Any]


def rules() -> list[Rule]:
    found = []
    for path in RULES:
        found += [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    return found


RECORDED = {rule["record"] for rule in rules() if "record" in rule}
ALERTS = [rule for rule in rules() if "alert" in rule]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [tool("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    result = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(RULES)} rule files found" in result.stdout


def test_every_rule_passes_its_tests() -> None:
    result = promtool("test", "rules", *sorted((PROMETHEUS / "tests").glob("*.test.yml")))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("kind", ["record", "alert"])
def test_every_rule_has_a_test(kind: str) -> None:
    tested = "".join(path.read_text() for path in (PROMETHEUS / "tests").glob("*.test.yml"))
    names = {rule[kind] for rule in rules() if kind in rule}
    mark = r"\((?:1e6 \* )?({})\b" if kind == "record" else r"alertname: ({})\n\s+exp_alerts:\n"
    assert names == {name for name in names if re.search(mark.format(re.escape(name)), tested)}


def test_a_changed_threshold_fails_the_tests(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    for path in [*RULES, *(PROMETHEUS / "tests").iterdir()]:
        (tmp_path / path.parent.name / path.name).write_text(path.read_text().replace("> 0.8", "> 0.93"))
    result = promtool("test", "rules", tmp_path / "tests" / "alerts.test.yml")
    assert result.returncode != 0
    assert "WinnowQueueNearCap" in result.stdout + result.stderr


def test_every_metric_and_label_in_a_rule_exists() -> None:
    assert {rule["expr"]: found for rule in rules() if (found := complaints(rule["expr"], RECORDED))} == {}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_leads_to_its_runbook(alert: Rule) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor == alert["alert"].lower()
    assert f"\n### {alert['alert']}\n" in (ROOT / page).read_text()


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    assert re.findall(r"^### (Winnow\w+)$", page, re.M) == [rule["alert"] for rule in ALERTS]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("rate(winnow_nothing_total[5m])", ["no metric winnow_nothing_total"]),
        ("winnow:gone:rate5m > 1", ["no metric winnow:gone:rate5m"]),
        ('winnow_queue_rows{model="m"}', ["winnow_queue_rows has no label model"]),
        ("sum by (modell) (winnow_mean_weight)", ["no label modell"]),
        ("winnow_batch_rows", ["no metric winnow_batch_rows"]),
        ('winnow_requests_total{outcome="winnow_x", method!~"a|b"}', []),
        ("winnow_stage_duration_seconds_bucket{le='1', stage='queue'}", []),
        ("winnow:samples:rate1m", []),
    ],
)
def test_what_does_not_exist_is_told(expression: str, said: list[str]) -> None:
    assert complaints(expression, RECORDED) == said


def test_the_fast_rules_differ_from_the_shipped_ones_in_durations_alone() -> None:
    assert [faster(duration) for duration in ("30s", "5m", "1h")] == ["500ms", "5000ms", "60000ms"]
    for path in RULES:
        shipped, fast = yaml.safe_load(path.read_text()), faster_rules(path)
        for rule in (rule for document in (shipped, fast) for group in document["groups"] for rule in group["rules"]):
            rule["expr"] = re.sub(r"\[\w+\]", "[]", rule["expr"])
            rule.pop("for", None)
        assert fast == shipped
    assert FASTER > 1
