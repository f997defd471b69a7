"""One objective over several training seeds: does the improvement belong to the method or to one lucky run?"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from training.evaluation.compare import Table
from training.metrics.intervals import student_interval

METRICS = ("fid", "energy_distance", "kid", "recall")


def over_seeds(table: Table, priors: Table, verdicts: Mapping[str, Any]) -> dict[str, Any]:
    """Of the weights in ``table`` (one w a training seed): how many pass, and differences to the prior over seeds.

    ``priors``: draws of the prior under the names of the weights, one for each. With one common draw its noise would be
    in every difference and in no interval. These are Student's, over training seeds and fresh latents; the real rows
    are common, which leaves differences between equal laws at zero.
    """

    def change(name: str, metric: str) -> float:
        return fmean(table.values[name][metric]) - fmean(priors.values[name][metric])

    return {
        "seeds": len(verdicts),
        "passed": sum(found["passed"] for found in verdicts.values()),
        "minus_prior": {
            metric: student_interval([change(name, metric) for name in verdicts])._asdict() for metric in METRICS
        },
    }
