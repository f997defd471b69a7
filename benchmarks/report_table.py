"""The README's table, from a bundle's report: prior against latentRS in the quoted feature space.

python -m benchmarks.report_table bundles/fashion-mnist/report.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROWS = {
    "fid": "FID",
    "kid": "KID (unbiased)",
    "energy_distance": "energy distance (unbiased)",
    "emd": "EMD",
    "precision": "precision",
    "recall": "recall",
    "class_total_variation": "class imbalance (total variation)",
}


def main(path: str) -> None:
    report = json.loads(Path(path).read_text())
    space = next(s for s in report["spaces"] if s["name"] == report["quoted_space"])
    print("| | prior | latentRS | difference, 97% interval | real data in its place |")
    print("| --- | --- | --- | --- | --- |")
    for metric, title in ROWS.items():
        prior, ours, floor = (space["methods"][m][metric]["mean"] for m in ("prior", "latentrs", "floor"))
        row = space["minus_prior"]["latentrs"][metric]
        change = f"{row['mean']:+.3f} ± {row['half_width']:.3f} ({row['relative']:+.0%})"
        print(f"| {title} | {prior:.3f} | {ours:.3f} | {change} | {floor:.3f} |")
    rate = report["acceptance"]["latentrs"]
    print(f"\nAcceptance rate {rate['rate']:.4f} ± {rate['standard_error']:.4f} (standard error).")


if __name__ == "__main__":
    main(*sys.argv[1:])
