"""Where the time of requests went: the stages that answers name, the rest of the server's time, what lies outside."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.serving.load import Outcome
from benchmarks.serving.report import markdown_table, milliseconds

ENTRY = re.compile(r"([^;,\s]+);dur=([0-9.]+)")
REST, OUTSIDE, LATE = "rest of the server", "on the way", "the client late"


def parts(outcome: Outcome) -> dict[str, float]:
    """Seconds by part (W3C Server Timing in the answer's head); together they are the outcome's latency."""
    said = {name: float(value) / 1e3 for name, value in ENTRY.findall(outcome.answer.headers.get("server-timing", ""))}
    total = said.pop("total", 0.0)
    outside = outcome.latency - outcome.lag - total
    return {**said, REST: total - sum(said.values()), OUTSIDE: outside, LATE: outcome.lag}


def where_time_went(outcomes: Sequence[Outcome], slowest: float = 0.01) -> str:
    """Means in milliseconds, of all and of the ``slowest`` share: what a percentile is made of."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.latency)
    groups = {"all": ordered, f"slowest {slowest:.0%}": ordered[-max(1, round(slowest * len(ordered))) :]}
    found = {name: [parts(outcome) for outcome in group] for name, group in groups.items()}
    names = list(dict.fromkeys(name for each in found["all"] for name in each if name not in (REST, OUTSIDE, LATE)))
    names += [REST, OUTSIDE, LATE]
    rows = []
    for group, each in found.items():
        means = [sum(one.get(name, 0.0) for one in each) / len(each) for name in names]
        rows.append((group, *map(milliseconds, means), milliseconds(sum(means)), str(len(each))))
    return markdown_table(("n = 1, mean ms", *names, "together", "requests"), rows)
