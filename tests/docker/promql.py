"""What an expression names, checked against the registry. Not a parser: our own expressions, and a test of it."""

from __future__ import annotations

import re

from service.metrics.registry import Metrics

DESCRIBED = {metric.name: metric for metric in Metrics().described}
# The client library's, and Prometheus' own about each target.
OUTSIDE = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
TARGET_LABELS = {"job", "instance"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-z_][a-z0-9_:]*)\s*\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|on|ignoring|group_left|group_right|without)\s*\(([^)]*)\)")
_NAME = re.compile(r"\b(?:winnow[_:]|http_server_|process_)[a-z0-9_:]+|\bup\b")


def complaints(expression: str, recorded: set[str]) -> list[str]:
    """Metrics that do not exist, and labels that they do not have; ``recorded`` are the names of recording rules."""
    bare = _STRING.sub('""', expression)
    found = [f"no metric {name}" for name in _NAME.findall(bare) if not _exists(name, recorded)]
    every = TARGET_LABELS | {"le"} | {label for metric in DESCRIBED.values() for label in metric.labels}
    for name, matchers in _SELECTOR.findall(bare):
        given = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        found += [f"{name} has no label {label}" for label in given - labels_of(name, every)]
    for labels in _GROUPING.findall(bare):
        found += [f"no label {label}" for label in re.findall(r"\w+", labels) if label not in every]
    return found


def labels_of(name: str, every: set[str]) -> set[str]:
    metric = DESCRIBED.get(_base(name))
    if metric is None:  # a recorded one: its expression was checked
        return every
    return TARGET_LABELS | set(metric.labels) | ({"le"} if name.endswith("_bucket") else set())


def _exists(name: str, recorded: set[str]) -> bool:
    return name in recorded or name in OUTSIDE or _base(name) in DESCRIBED


def _base(name: str) -> str:
    """A histogram is exposed in three parts."""
    for part in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(part)
        if base != name and base in DESCRIBED and DESCRIBED[base].kind == "histogram":
            return base
    histogram = name in DESCRIBED and DESCRIBED[name].kind == "histogram"
    return "a histogram has no series of its own name" if histogram else name
