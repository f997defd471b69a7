"""A table as Markdown: the paper's number, ours with its interval, each with its change against its own base."""

from __future__ import annotations

from collections.abc import Mapping

from training.metrics.intervals import Interval
from training.reproduce.measure import Measured
from training.reproduce.published import Published, relative

TITLES = {
    "emd_squared": "W2²",
    "emd": "EMD",
    "fid": "FID",
    "kid": "KID",
    "energy_distance": "energy distance",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
    "hausdorff_to_data": "Hausdorff",
    "class_total_variation": "class TV",
}


def markdown(measured: Measured, published: Published | None, metrics: tuple[str, ...]) -> str:
    """One line a row, the floor first; the first metric has a column more, how much of its excess is gone."""
    titles, lead = ["method"], metrics[0]
    for metric in metrics:
        if published is not None and any(metric in row for row in published.rows.values()):
            titles.append(f"{TITLES[metric]}, paper")
        titles.append(TITLES[metric])
        if metric == lead:
            titles.append("excess gone")
    titles.append("accepted")
    lines = [f"| {' | '.join(titles)} |", "| --- |" + " --- |" * (len(titles) - 1)]
    for name in ("floor", *measured.names):
        cells = [name]
        for metric in metrics:
            if published is not None and any(metric in row for row in published.rows.values()):
                cells.append(paper_cell(published, name, metric))
            cells.append(our_cell(measured, name, metric))
            if metric == lead:
                cells.append(excess_cell(measured, name, metric))
        cells.append("" if name == "floor" else f"{measured.accepted[name]:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def paper_cell(published: Published, row: str, metric: str) -> str:
    """``0.036 ± 0.001 (-18%)``; empty where nothing is printed."""
    value, change = published.of(row, metric), published.change(row, metric)
    if value is None:
        return ""
    return in_words(value) + ("" if change is None else f" ({change:+.0%})")


def our_cell(measured: Measured, row: str, metric: str) -> str:
    """``0.0312 ± 0.0012 (-22 ± 3%)``: the second interval is that of the paired difference to the prior, in units of
    the prior's mean; in the metric's own units, without a %, where the prior cannot be told from zero."""
    value = Interval(**measured.table.summary()[row][metric])
    if row in ("floor", "prior"):
        return in_words(value)
    change = change_of(measured, row, metric)
    if change is None:
        difference = measured.table.paired(row, "prior")[metric]
        return f"{in_words(value)} ({difference['mean']:+.3g} ± {difference['half_width']:.2g})"
    return f"{in_words(value)} ({100 * change.mean:+.0f} ± {100 * change.half_width:.0f}%)"


def change_of(measured: Measured, row: str, metric: str) -> Interval | None:
    """Paired difference to the prior over the prior's mean; None where that is within its interval of zero."""
    difference = measured.table.paired(row, "prior")[metric]
    base = measured.table.summary()["prior"][metric]
    if abs(base["mean"]) <= base["half_width"]:
        return None
    mean = relative(base["mean"] + difference["mean"], base["mean"])
    return Interval(mean, difference["half_width"] / abs(base["mean"]))


def excess_cell(measured: Measured, row: str, metric: str) -> str:
    """Share of the prior's excess over the floor that is gone; a dash where the prior is at the floor."""
    if row in ("floor", "prior"):
        return ""
    share = excess_gone(measured, row, metric)
    return "-" if share is None else f"{share:.0%}"


def excess_gone(measured: Measured, row: str, metric: str) -> float | None:
    """(prior - row) / (prior - floor) of means; None unless the prior lies above the floor beyond its interval."""
    excess = measured.table.paired("prior", "floor")[metric]
    if excess["mean"] <= excess["half_width"]:
        return None
    return -float(measured.table.paired(row, "prior")[metric]["mean"]) / excess["mean"]


def in_words(value: Interval) -> str:
    """Three digits of the value, the half width to the same place."""
    digits = places(value.mean)
    return f"{value.mean:.{digits}f} ± {value.half_width:.{digits}f}"


def places(value: float) -> int:
    """Decimal places that show three digits of ``value``, six at most."""
    size, digits = abs(value), 0
    while size < 100 and digits < 6:
        size, digits = size * 10, digits + 1
    return digits


def facts(values: Mapping[str, object]) -> str:
    """``n 1,000; seed 40000; ...`` in one line."""
    return "; ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in values.items()
    )
