"""One objective over several training seeds: does the improvement belong to the method or to one lucky run?"""

from __future__ import annotations

from typing import Any

from training.metrics.intervals import student_interval

METRICS = ("fid", "energy_distance", "kid", "recall")


def over_seeds(section: dict[str, Any]) -> dict[str, Any]:
    """Of the weights in ``section`` (one w a training seed): how many pass, and differences to the prior over seeds.

    Student intervals over training seeds; the evaluation's own noise is in them too.
    """
    names = list(section["minus_prior"])
    return {
        "seeds": len(names),
        "passed": sum(section["verdicts"][name]["passed"] for name in names),
        "minus_prior": {
            metric: student_interval([section["minus_prior"][name][metric]["mean"] for name in names])._asdict()
            for metric in METRICS
        },
    }
