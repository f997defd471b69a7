"""The two dashboards as JSON for Grafana's provisioning: python docker/grafana/build.py

A panel is a title, a unit and its queries, each with its legend; a row of three is a heading and its panels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT, A_ROW = 8, 8, 3
SERVER = 'job="winnow", instance=~"$instance"'
MODEL = f'{SERVER}, model=~"$model"'
PAIR = f'{MODEL}, method=~"$method"'
WEIGHED = f'{MODEL}, method=~"prior|latent.*"'
DRS = f'{MODEL}, method="drs"'


@dataclass(frozen=True)
class Panel:
    """``queries``: (PromQL, legend). ``stat``: the last value as a number rather than a curve."""

    title: str
    unit: str
    about: str
    queries: tuple[tuple[str, str], ...]
    stat: bool = False


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def rate(metric: str, labels: str = SERVER) -> str:
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def by(labels: str, metric: str, matchers: str = SERVER) -> str:
    return f"sum by ({labels}) ({rate(metric, matchers)})"


def share(labels: str, part: str, whole: str, matchers: str, of: str | None = None) -> str:
    """Rate over rate, without NaN where nothing happened; ``of``: matchers of the whole, where they differ."""
    return f"{by(labels, part, matchers)} / ({by(labels, whole, of or matchers)} > 0)"


def one(unit: str, title: str, about: str, query: str, legend: str, stat: bool = False) -> Panel:
    return Panel(title, unit, about, ((query, legend),), stat)


def quantile(q: float, labels: str, histogram: str, matchers: str = SERVER) -> str:
    """Without NaN where nothing happened."""
    by_labels = f"{labels}, le" if labels else "le"
    return f"histogram_quantile({q}, {by(by_labels, f'{histogram}_bucket', matchers)}) >= 0"


def quantiles(title: str, about: str, histogram: str, matchers: str = SERVER, unit: str = "s") -> Panel:
    shown = tuple((quantile(q, "", histogram, matchers), f"p{100 * q:.0f}") for q in (0.5, 0.95, 0.99))
    return Panel(title, unit, about, shown)


SERVICE = (
    Row("Now", (
        one("none", "Ready", "1 where /readyz says yes.", f"winnow_ready{{{SERVER}}}", "{{instance}}", stat=True),
        one("none", "Bundles", "Those that could be loaded and those that could not.",
            f"sum by (state) (winnow_models{{{SERVER}}})", "{{state}}", stat=True),
        one("percentunit", "Device busy", "Share of the time in which the device works; 1 is all that one can do.",
            'winnow:device_busy:ratio_rate5m{instance=~"$instance"}', "{{instance}}", stat=True),
    )),
    Row("Traffic", (
        one("reqps", "Requests for samples", "By how they ended.",
            by("outcome", "winnow_requests_total"), "{{outcome}}"),
        one("short", "Samples a second", "Handed over, by model and method.",
            by("model, method", "winnow_samples_total", PAIR), "{{model}} {{method}}"),
        one("reqps", "HTTP requests", "All of them, by route.",
            by("http_route", "http_server_request_duration_seconds_count"), "{{http_route}}"),
    )),
    Row("Latency", (
        quantiles("Request", "From a request for samples to the end of its answer.",
                  "winnow_request_duration_seconds", f'{SERVER}, method=~"$method"'),
        quantiles("First byte", "From a request for samples to the first byte of its answer.",
                  "winnow_time_to_first_byte_seconds", f'{SERVER}, method=~"$method"'),
        one("s", "Stages, p95", "Per batch or answer. What grows here is what requests wait for.",
            quantile(0.95, "stage", "winnow_stage_duration_seconds"), "{{stage}}"),
    )),
    Row("Errors", (
        Panel("Failed or refused", "percentunit", "Of the requests that were ours to answer; the budget is 0.1%.", (
            ("winnow:request_errors:ratio_rate5m", "5 min"),
            ("winnow:request_errors:ratio_rate1h", "1 h"),
            ("winnow:request_errors:ratio_rate6h", "6 h"),
        )),
        one("reqps", "Refusals", "By error code.", by("code", "winnow_refused_total"), "{{code}}"),
        one("reqps", "Answers by status", "All HTTP requests.",
            by("http_response_status_code", "http_server_request_duration_seconds_count"),
            "{{http_response_status_code}}"),
    )),
    Row("Queue and fairness", (
        Panel("Work waiting", "s", "Device time still needed, and what a large request may have to wait.", (
            (f"winnow_queue_seconds{{{SERVER}}}", "waiting {{instance}}"),
            (f"winnow_queue_limit_seconds{{{SERVER}}}", "cap {{instance}}"),
        )),
        Panel("Requests waiting", "short", "Admitted and not yet done, and how many may be.", (
            (f"winnow_queue_requests{{{SERVER}}}", "waiting {{instance}}"),
            (f"winnow_queue_requests_limit{{{SERVER}}}", "cap {{instance}}"),
        )),
        quantiles("Wait for the first turn", "Nobody should wait long, whoever is in front: p99 stays near p50.",
                  "winnow_stage_duration_seconds", f'{SERVER}, stage="queue"'),
    )),
    Row("Process", (
        one("short", "CPU", "Cores in use.", rate("process_cpu_seconds_total"), "{{instance}}"),
        one("bytes", "Memory", "Resident.", f"process_resident_memory_bytes{{{SERVER}}}", "{{instance}}"),
        one("short", "Open files", "Connections among them.", f"process_open_fds{{{SERVER}}}", "{{instance}}"),
    )),
)  # fmt: skip

SAMPLING = (
    Row("Acceptance", (
        one("percentunit", "Acceptance rate", "Accepted over evaluated proposals.",
            'winnow:acceptance:ratio_rate5m{model=~"$model", method=~"$method"}', "{{model}} {{method}}"),
        one("percentunit", "Accepted over expected", "100% where a bundle does what its calibration says.",
            'winnow:accepted_over_expected:ratio_rate15m{model=~"$model", method=~"$method"}', "{{model}} {{method}}"),
        one("short", "Proposals a sample", "What a sample costs in evaluations of w or of the critic.",
            share("model, method", "winnow_proposals_total", "winnow_samples_total", PAIR), "{{model}} {{method}}"),
    )),
    Row("Weights", (
        one("short", "Mean weight", "1 for a density ratio; 0 before the first was computed.",
            f"winnow_mean_weight{{{MODEL}}}", "{{model}}"),
        one("percentunit", "Weights above the cap", "Rejection takes them for the cap.",
            share("model", "winnow_weight_bound_exceeded_total", "winnow_proposals_total", MODEL, WEIGHED),
            "{{model}}"),
        one("percentunit", "Ratios above the bound of drs", "More than one in a hundred: the pilot run saw too little.",
            share("model", "winnow_ratio_bound_exceeded_total", "winnow_proposals_total", MODEL, DRS), "{{model}}"),
    )),
    Row("Pool", (
        one("short", "Latents in stock", "Accepted, not yet handed out.",
            f"winnow_pool_latents{{{PAIR}}}", "{{model}} {{method}}"),
        one("reqps", "Unseeded requests", "By whether the stock held all they asked for.",
            by("result", "winnow_pool_requests_total"), "{{result}}"),
        one("short", "Decoded rows in stock", "Decoded by their method, not yet handed out.",
            f"winnow_supply_rows{{{MODEL}}}", "{{model}}"),
    )),
    Row("Rows", (
        one("short", "Decoded rows a second", "By model, padding included.",
            by("model", "winnow_decoded_rows_total", MODEL), "{{model}}"),
        one("short", "Rows wasted a second", "Decoded for nobody, by reason.",
            by("reason", "winnow_rows_wasted_total"), "{{reason}}"),
        one("percentunit", "Rows delivered", "Of those decoded.",
            share("model", "winnow_delivered_rows_total", "winnow_decoded_rows_total", MODEL), "{{model}}"),
    )),
    Row("Batches", (
        one("percentunit", "Batch fill", "Rows of a generator call over the largest there may be.",
            share("job, instance", "winnow_batch_rows_sum", "winnow_batch_rows_count", SERVER)
            + " / on (job, instance) max by (job, instance) (winnow_batch_rows_limit)", "{{instance}}"),
        one("ops", "Batches", "By why no further row was added.", by("reason", "winnow_batches_total"), "{{reason}}"),
        quantiles("Rows of a batch", "Of a generator call.", "winnow_batch_rows", unit="short"),
    )),
    Row("Device", (
        one("percentunit", "Device time", "Share of each stage.",
            by("stage", "winnow_stage_duration_seconds_sum", f'{SERVER}, stage!~"queue|encode"'), "{{stage}}"),
        one("bytes", "Accelerator memory", "0 on a CPU.", f"winnow_device_memory_bytes{{{SERVER}}}", "{{instance}}"),
        one("ops", "Batches out of memory", "Each is halved and done again.",
            by("job, instance", "winnow_oom_total"), "{{instance}}"),
    )),
)  # fmt: skip


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice of label values at the top of the dashboard; all of them at first."""
    return {
        "name": name, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2, "multi": True,
        "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def panel(number: int, shape: Panel, x: int, y: int) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
        for i, (expr, legend) in enumerate(shape.queries)
    ]
    return {
        "id": number,
        "type": "stat" if shape.stat else "timeseries",
        "title": shape.title,
        "description": shape.about,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": shape.unit}, "overrides": []},
        "targets": targets,
    }


def dashboard(uid: str, title: str, rows: tuple[Row, ...], variables: tuple[str, ...]) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": WIDTH * A_ROW, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "gridPos": place, "panels": []})
        panels += [panel(len(panels) + 1 + i, shape, WIDTH * i, y + 1) for i, shape in enumerate(row.panels)]
        y += 1 + HEIGHT
    label = {"instance": "winnow_ready", "model": "winnow_samples_total", "method": "winnow_samples_total"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["winnow"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [variable(name, f"label_values({label[name]}, {name})") for name in variables]},
        "panels": panels,
    }


def dashboards() -> dict[str, dict[str, Any]]:
    """File name -> dashboard."""
    return {
        "service.json": dashboard("winnow-service", "Winnow: service", SERVICE, ("instance", "method")),
        "sampling.json": dashboard("winnow-sampling", "Winnow: sampling", SAMPLING, ("instance", "model", "method")),
    }


def text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"


def main(folder: Path = FOLDER) -> int:
    for name, document in dashboards().items():
        (folder / name).write_text(text(document), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
