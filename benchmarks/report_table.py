"""The tables of README and docs/training.md, from a bundle's report: latentRS and every objective against the prior.

python -m benchmarks.report_table bundles/fashion-mnist/report.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROWS = {
    "fid": "FID",
    "kid": "KID (unbiased)",
    "energy_distance": "energy distance (unbiased)",
    "emd": "EMD",
    "precision": "precision",
    "recall": "recall",
    "class_total_variation": "class imbalance (total variation)",
}


METHODS = {"latentrs": "latentRS", "latentrsga": "latentRS+GA"}


def verdict_table(space: dict[str, Any]) -> str:
    """Prior, latentRS, latentRS+GA where the report has it, paired differences to the prior and the floor."""
    shown = {method: title for method, title in METHODS.items() if method in space["methods"]}
    titles = "".join(f" {title} | difference, 97% interval |" for title in shown.values())
    lines = [f"| | prior |{titles} real data in its place |", "| --- | --- |" + " --- | --- |" * len(shown) + " --- |"]
    for metric, title in ROWS.items():
        prior, floor = (space["methods"][m][metric]["mean"] for m in ("prior", "floor"))
        cells = [title, f"{prior:.3f}"]
        for method in shown:
            row = space["minus_prior"][method][metric]
            cells.append(f"{space['methods'][method][metric]['mean']:.3f}")
            cells.append(f"{row['mean']:+.3f} ± {row['half_width']:.3f} ({row['relative']:+.0%})")
        lines.append(f"| {' | '.join([*cells, f'{floor:.3f}'])} |")
    return "\n".join(lines)


def objectives_table(report: dict[str, Any], space: dict[str, Any]) -> str:
    """One line an objective that was drawn from: what it was selected by, and its paired difference to the prior."""
    held_out = report["selection"]["held_out_energy_distance"]
    objectives = space["objectives"]
    lines = ["| objective | held-out | FID | KID x 1000 | recall |", "| --- | --- | --- | --- | --- |"]
    prior = objectives["methods"]["prior"]
    lines.append(
        f"| none (w = 1) | {report['selection']['unweighted']:.5f} | {prior['fid']['mean']:.3f} "
        f"| {1e3 * prior['kid']['mean']:.1f} | {prior['recall']['mean']:.3f} |"
    )
    for objective, energy in sorted(held_out.items(), key=lambda item: item[1]):
        name = "latentrs" if objective == report["selection"]["chosen"] else f"latentrs:{objective}"
        rows = objectives["minus_prior"].get(name)
        if rows is None:
            continue
        cells = (
            f"{scale * rows[metric]['mean']:+.{digits}f} ± {scale * rows[metric]['half_width']:.{digits}f}"
            for metric, scale, digits in (("fid", 1, 3), ("kid", 1e3, 1), ("recall", 1, 3))
        )
        lines.append(f"| `{objective}` | {energy:.5f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(path: str) -> None:
    report = json.loads(Path(path).read_text())
    for space in report["spaces"]:
        print(f"{space['name']} ({space['role']})\n\n{verdict_table(space)}\n")
        print(f"verdict: {'better' if space['verdicts']['latentrs']['passed'] else 'not shown better'}\n")
        if "objectives" in space:
            print(objectives_table(report, space) + "\n")
    rate = report["acceptance"]["latentrs"]
    print(f"Acceptance rate {rate['rate']:.4f} ± {rate['standard_error']:.4f} (standard error).")


if __name__ == "__main__":
    main(*sys.argv[1:])
