"""Prometheus, Grafana and traces, each from its own container."""

from __future__ import annotations

from pathlib import Path

from stack import (
    FIRST_SAMPLE_SECONDS,
    GRAFANA,
    IMAGE,
    NETWORK,
    PROMETHEUS,
    SETTLED_SECONDS,
    WINNOW,
    docker,
    fetch,
    fetch_json,
    query,
    within,
)

COLLECTOR = "winnow-test-collector"


def prometheus_in_its_container_scrapes_the_service_in_its_own() -> str:
    assert within(SETTLED_SECONDS, lambda: query('up{instance="winnow:8000"}')) == 1
    before = query("sum(winnow_samples_total)")
    fetch(f"{WINNOW}/sample?method=latentrs&n=100&format=npz", "POST")
    after = within(SETTLED_SECONDS, lambda: (now := query("sum(winnow_samples_total)")) >= before + 100 and now)
    assert query("winnow_ready") == 1
    groups = fetch_json(f"{PROMETHEUS}/api/v1/rules")["data"]["groups"]
    broken = [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
    assert not broken, broken
    return f"winnow_samples_total {before:g} -> {after:g}, {sum(len(group['rules']) for group in groups)} rules"


def grafana_finds_its_dashboards_and_reaches_prometheus() -> str:
    fetch(f"{GRAFANA}/api/health")
    dashboards = fetch_json(f"{GRAFANA}/api/search?type=dash-db")
    files = list(Path("docker/grafana/dashboards").rglob("*.json"))
    assert len(dashboards) == len(files) > 0, dashboards
    uid = next(Path("docker/grafana/provisioning/datasources").glob("*.y*ml")).read_text().split("uid:")[1].split()[0]
    proxy = f"{GRAFANA}/api/datasources/proxy/uid/{uid}/api/v1/query?query=winnow_ready"
    assert fetch_json(proxy)["data"]["result"][0]["value"][1] == "1"
    return ", ".join(dashboard["title"] for dashboard in dashboards)


def prometheus_finds_the_new_container() -> str:
    within(
        SETTLED_SECONDS, lambda: query('winnow_model_info{model="gaussians-25"}') == 1 and query("winnow_ready") == 1
    )
    return "by its name"


def an_endpoint_in_the_environment_gets_the_traces() -> str:
    """The collector only writes down who called."""
    detached = ("run", "--detach", "--network", NETWORK, "--read-only", "--cap-drop", "ALL", "--name")
    docker(*detached, COLLECTOR, "--entrypoint", "python", IMAGE, "-um", "http.server", "4318")
    name = "winnow-test-traced"
    docker(*detached, name, "--env", f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{COLLECTOR}:4318", IMAGE)
    within(FIRST_SAMPLE_SECONDS, lambda: docker("exec", name, "python", "/opt/winnow/healthcheck.py") == "")
    ask = "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/sample?n=1')"
    docker("exec", name, "python", "-c", ask)
    docker("stop", name)
    said = docker("logs", COLLECTOR)
    assert "POST /v1/traces" in said, said + docker("logs", name)
    docker("rm", "--force", name, COLLECTOR)
    return "POST /v1/traces"
