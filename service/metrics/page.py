"""docs/metrics.md, made from the registry: python -m service.metrics.page"""

from __future__ import annotations

from pathlib import Path

from service.metrics.registry import SECONDS, Description, Known, Metrics

PAGE = Path("docs/metrics.md")
HEAD = f"""# Metrics

`GET /metrics` answers in the text format of Prometheus. This page is made from the registry by
`python -m service.metrics.page`; a test checks that it is current.

Counters end in `_total`; every label set whose values are listed, or are models or methods, exists at 0 before the
first event, so that rates do not miss it. Histograms of seconds have buckets from {SECONDS[0] * 1e3:g} ms to
{SECONDS[-1]:g} s. On Linux `process_*` (CPU seconds, resident memory, open files) come from the Prometheus client
library. [operating.md](operating.md) says what to watch; the recording rules, alerts and dashboards are in
`docker/prometheus/` and `docker/grafana/`.

Proposals and acceptances count once each, surplus included: `winnow_accepted_total / winnow_proposals_total` is the
acceptance rate over any window, and `winnow_accepted_total / winnow_expected_accepted_total` should be 1 whatever
parameters requests choose. Decoded rows are delivered, wasted for a reason, or waiting:
`winnow_decoded_rows_total = winnow_delivered_rows_total + winnow_rows_wasted_total + winnow_supply_rows`, in sum and
whenever the device is idle.

What they cost is measured by `python -m benchmarks.serve metrics --bundle bundles` ([benchmarks.md](benchmarks.md)).
A request for one sample makes nine observations. The page of four models, 1,100 lines, takes 1.8 ms of CPU time to make
(median of 60).
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD, "| metric | type | unit | labels | meaning |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(row(metric) for metric in Metrics().described)]) + "\n"


def row(metric: Description) -> str:
    labels = "; ".join(f"`{name}`: {_values(values)}" for name, values in metric.labels.items())
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning} |"


def _values(values: tuple[str, ...] | Known) -> str:
    return str(values) if isinstance(values, Known) else ", ".join(f"`{value}`" for value in values)


def main(path: Path = PAGE) -> int:
    path.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
