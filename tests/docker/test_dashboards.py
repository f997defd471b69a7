"""The dashboards: as their program makes them, valid for Grafana, and every query of every panel returns data."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from observed import BUNDLE, ROOT, Server, load, prometheus, servers
from promql import complaints
from test_rules import RECORDED

GRAFANA = ROOT / "docker" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
# As wide as five minutes of the shipped rules; Grafana takes four scrapes at least.
RATE_INTERVAL = "5s"
READY = """
groups:
  - name: enough was scraped, and the recording rules have seen it
    rules:
      - alert: Seen
        expr: >-
          count(winnow:accepted_over_expected:ratio_rate15m{method="latentrs"}) > 0
          and on () sum(rate(winnow_ratio_bound_exceeded_total[5s])) >= 0
          and on () count_over_time(up[1h]) > 8
          and on () sum(rate(winnow_proposals_total{method="drs"}[5s])) > 0
"""


def made() -> dict[str, str]:
    """File name -> content, as the program beside the dashboards makes them."""
    program = runpy.run_path(str(GRAFANA / "build.py"))
    return {name: program["text"](document) for name, document in program["dashboards"]().items()}


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def queries(path: Path) -> list[tuple[str, str]]:
    """Title and PromQL, with Grafana's variables as it would fill them in."""
    found = []
    for panel in panels(path):
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
            for variable in ("instance", "model", "method"):
                expr = expr.replace(f"${variable}", ".*")
            found.append((panel["title"], expr))
    return found


def lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Where ``kept`` lacks or changes what was ``given``."""
    if isinstance(given, dict):
        for key, value in given.items():
            yield from lost(value, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key}"]
    elif isinstance(given, list):
        for i, (value, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(value, other, f"{path}[{i}]")
    elif given != kept:
        yield path


def round_trip(document: dict[str, Any]) -> list[str]:
    register_default_plugins()
    return list(lost(document, json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))))


def test_the_files_are_what_their_program_makes() -> None:
    assert made() == {path.name: path.read_text() for path in FILES}, "run python docker/grafana/build.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_grafana_knows_every_field(path: Path) -> None:
    document = json.loads(path.read_text())
    assert round_trip(document) == []
    document["panels"][1]["titel"] = "misspelt"
    document["panels"][1]["targets"][0]["legend"] = "misspelt"
    assert round_trip(document) == [".panels[1].targets[0].legend", ".panels[1].titel"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_panels_ask_the_provisioned_source_and_do_not_overlap(path: Path) -> None:
    [source] = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    document = json.loads(path.read_text())
    asked = {part["datasource"]["uid"] for part in [*panels(path), *document["templating"]["list"]]}
    assert asked == {source["uid"]}
    places = [panel["gridPos"] for panel in document["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_metric_and_label_in_a_panel_exists(path: Path) -> None:
    assert {expr: found for _, expr in queries(path) if (found := complaints(expr, RECORDED))} == {}


def test_every_panel_that_the_docs_name_exists() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    named = {words.replace("\n", " ") for words in re.findall(r"(?<!\*)\*([A-Z][^*:]+)\*(?!\*)", page)}
    named -= {"Check and do", "Do not"}
    assert len(named) > 8 and named <= {panel["title"] for path in FILES for panel in panels(path)}


def test_every_query_of_every_panel_returns_data_of_a_real_server_under_load(tmp_path: Path) -> None:
    kinds = ("method=latentrs&n=99", "method=drs&n=9", "method=prior&n=40&seed=1", "method=latentrsga&n=5", "n=0")
    with (
        servers(Server(BUNDLE)) as [address],
        prometheus(tmp_path / "prometheus", [address], READY) as watcher,
        load(*((address, f"{kind}&format=npz") for kind in kinds)),
    ):
        watcher.fired({("Seen", "")})
        for path in FILES:
            for title, expr in queries(path):
                values = [value for _, value in watcher.query(expr)]
                assert values and all(map(isfinite, values)), (title, expr, values)
