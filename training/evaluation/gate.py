"""The quality gate's rule: when a method may be called better than the prior, and one sentence that says why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.evaluation.blocks import HIGHER_IS_BETTER
from training.evaluation.compare import Table

UNBIASED = ("energy_distance", "kid")
RAW_ONLY, DENSE_RECALL = "ladder_distance", "dense_recall"
NAMES = {
    "fid": "FID",
    "emd": "EMD",
    "energy_distance": "the energy distance",
    "kid": "KID",
    RAW_ONLY: "the ladder distance",
}


@dataclass(frozen=True)
class Limits:
    """``minimum_effect``: share of the prior's mean by which a distance must fall; ``max_recall_loss`` absolute."""

    minimum_effect: float = 0.05
    max_recall_loss: float = 0.03


DEFAULT_LIMITS = Limits()


def judge(table: Table, method: str, base: str = "prior", limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Whether ``method`` may be called better than ``base`` in this space, criterion by criterion, with the ``reason``.

    FID (EMD of raw coordinates) and at least one of the unbiased distances must be better by more than the minimum
    effect at the ends of their 97% intervals, and none of the unbiased ones may be shown worse. Recall may lose no more
    than the limit, against the base or against real data in its place: samples far out have large neighbourhoods, so a
    base that makes them has more recall than real data. EMD shown below the real-real floor is shrinking towards
    average samples, not quality; it is a fault unless it was lower still in the base, which then made such samples and
    now makes fewer.
    """
    improvements = [improvement(table, metric, method, base, limits.minimum_effect) for metric in decisive(table)]
    distance, *unbiased = improvements
    against_base, against_floor = table.paired(method, base), table.paired(method, "floor")
    kept = recall_of(table)
    recall, emd, above_floor = against_base[kept], against_base["emd"], against_floor["emd"]
    checks = {
        "distance_better": distance["passed"],
        "unbiased_better": any(item["passed"] for item in unbiased),
        "no_unbiased_worse": not any(item["difference"] - item["half_width"] > 0 for item in unbiased),
        "recall_kept": max(recall["mean"], against_floor[kept]["mean"]) >= -limits.max_recall_loss,
        "emd_not_below_floor": above_floor["mean"] + above_floor["half_width"] >= 0
        or emd["mean"] - emd["half_width"] >= 0,
    }
    return {
        "improvements": improvements,
        "recall_change": recall,
        "max_recall_loss": limits.max_recall_loss,
        "emd_above_floor": above_floor,
        **checks,
        "passed": all(checks.values()),
        "reason": reason(table, method, base, improvements, checks, limits),
    }


def decisive(table: Table) -> tuple[str, ...]:
    """The distance that has to fall, then the unbiased ones of which one has to.

    Of raw coordinates FID compares means and covariances alone, and is at its floor for any generator that balances its
    modes, whatever lies between them: there EMD stands in its place.
    """
    return ("emd", *UNBIASED, RAW_ONLY) if _has(table, RAW_ONLY) else ("fid", *UNBIASED)


def recall_of(table: Table) -> str:
    """Which recall may not fall: of raw coordinates the dense one, where there are the rows for it.

    With as few generated rows as real ones the balls of junk between modes cover the modes: of the 25 Gaussians the
    prior's recall is above real data's, and falls by what junk goes.
    """
    return DENSE_RECALL if _has(table, DENSE_RECALL) else "recall"


def _has(table: Table, metric: str) -> bool:
    return any(metric in values for values in table.values.values())


def improvement(table: Table, metric: str, method: str, base: str, effect: float) -> dict[str, Any]:
    """The paired difference in ``metric`` and whether its whole interval is better by ``effect`` of the base's mean."""
    row = table.paired(method, base)[metric]
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    base_mean = table.summary()[base][metric]["mean"]
    return {
        "metric": metric,
        "minimum_effect": effect,
        "base": base_mean,
        "difference": row["mean"],
        "half_width": row["half_width"],
        "passed": sign * row["mean"] + row["half_width"] <= -effect * abs(base_mean),
    }


def reason(
    table: Table, method: str, base: str, improvements: list[dict[str, Any]], checks: dict[str, bool], limits: Limits
) -> str:
    """One sentence: what failed first, with its numbers; of a method that passed what it gained."""
    distance, *unbiased = improvements
    recall = table.paired(method, base)[recall_of(table)]
    if not checks["no_unbiased_worse"]:
        worse = next(item for item in unbiased if item["difference"] - item["half_width"] > 0)
        return f"{told(worse)}: worse than the {base}, beyond the interval."
    if not checks["distance_better"]:
        return f"{told(distance)}: not shown better than the {base} by {limits.minimum_effect:.0%}."
    if not checks["unbiased_better"]:
        every = " and ".join(told(item) for item in unbiased)
        return f"{every}: no unbiased distance is shown better than the {base}'s by {limits.minimum_effect:.0%}."
    if not checks["recall_kept"]:
        change = f"recall changes by {recall['mean']:+.3f} ± {recall['half_width']:.3f}"
        return f"{change}, a loss of more than {limits.max_recall_loss:g}."
    if not checks["emd_not_below_floor"]:
        below = table.paired(method, "floor")["emd"]
        lies = f"EMD lies {-below['mean']:.3g} ± {below['half_width']:.2g} below that of real data"
        return f"{lies}: it shrinks towards average samples."
    best = min(unbiased, key=lambda item: item["difference"] / abs(item["base"] or 1.0))
    return f"{told(distance)} and {told(best)}, recall by {recall['mean']:+.3f} ± {recall['half_width']:.3f}."


def told(item: dict[str, Any]) -> str:
    """``FID changes by -0.3 ± 0.1 (-12%)``."""
    share = f" ({item['difference'] / abs(item['base']):+.0%})" if item["base"] else ""
    return f"{NAMES[item['metric']]} changes by {item['difference']:+.3g} ± {item['half_width']:.2g}{share}"
