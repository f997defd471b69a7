"""Tables of a report: every metric with its interval, as the numbers stand in report.json."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

TITLES = {
    "fid": "FID",
    "energy_distance": "energy distance (unbiased)",
    "kid": "KID (unbiased)",
    "ladder_distance": "ladder distance (unbiased)",
    "emd": "EMD",
    "emd_squared": "EMD, squared distances",
    "precision": "precision",
    "recall": "recall",
    "dense_recall": "recall, balls of more generated rows",
    "density": "density",
    "coverage": "coverage",
    "average_hausdorff": "average Hausdorff distance",
    "class_total_variation": "class imbalance (total variation)",
}
METHOD_TITLES = {"floor": "real data in its place"}


def number(value: float) -> str:
    """Four digits: what the intervals are worth."""
    return f"{value:.4g}"


def with_interval(row: dict[str, float]) -> str:
    return f"{number(row['mean'])} ± {row['half_width']:.2g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain cells; all text is escaped here."""
    titles = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def quality_table(group: dict[str, Any]) -> str:
    """Methods across, metrics down; below each value its paired difference to the prior."""
    methods = group["methods"]
    rows = []
    for metric, title in TITLES.items():
        if metric not in methods["prior"]:
            continue
        cells = [title]
        for name, values in methods.items():
            change = group["minus_prior"].get(name, {}).get(metric)
            told = "" if change is None else f" ({change['mean']:+.3g} ± {change['half_width']:.2g})"
            cells.append(with_interval(values[metric]) + told)
        rows.append(cells)
    return table(["metric", *(METHOD_TITLES.get(name, name) for name in methods)], rows)


def cost_table(report: dict[str, Any]) -> str:
    """Acceptance, passes through each network for a sample, time against the prior's."""
    head = ["method", "accepted", "generator", "critic", "w", "gradients", "time over the prior's"]
    rows = []
    for name, cost in report["cost"].items():
        passes = (cost[f"{part}_passes"] for part in ("generator", "critic", "importance"))
        rate = report["acceptance"][name]
        accepted = f"{rate['rate']:.4f} ± {rate['standard_error']:.2g}"
        cells = [f"{value:.2f}" for value in (*passes, cost["gradient_steps"], cost["times_prior"])]
        rows.append([name, accepted, *cells])
    return table(head, rows)


def verdict_list(group: dict[str, Any]) -> str:
    """One line a method."""
    items = "".join(
        f'<li><b class="{"good" if found["passed"] else "bad"}">{escape(name)}: '
        f"{'better than the prior' if found['passed'] else 'not shown better'}</b>: {escape(found['reason'])}</li>"
        for name, found in group["verdicts"].items()
    )
    return f"<ul>{items}</ul>"
