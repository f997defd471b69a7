"""The latent geometry on a report's page."""

from __future__ import annotations

from html import escape
from typing import Any

from training.evaluation.page.charts import line_chart
from training.evaluation.page.tables import table


def geometry(found: dict[str, Any]) -> str:
    """The sentence, the deciles of the Jacobian norm, how simply classes lie in the latent space."""
    deciles = found["jacobian"]["deciles"]
    points = [(i + 1.0, row["mean_score"], 0.0) for i, row in enumerate(deciles)]
    chart = line_chart(points, ("tenth of the latents, least stretched first", "squared Jacobian norm"))
    rows = [
        [str(i + 1), f"{row['mean_score']:.4g}", f"{row['precision']:.4f} ± {row['half_width']:.2g}"]
        for i, row in enumerate(deciles)
    ]
    kind = "good" if found["can_pay"] else "bad"
    classes = found["classes"]
    if classes is None:
        told = "<p>No classifier and no labels: how classes lie in the latent space is not known.</p>"
    else:
        told = table(
            ["classes in the latent space", "share"],
            [
                ["logistic regression, accuracy", f"{classes['logistic_accuracy']:.4f}"],
                ["most frequent class alone", f"{classes['largest_share']:.4f}"],
                ["convexity: lines within a class that stay in it", f"{classes['convexity']:.4f}"],
            ],
        )
    head = f'<p class="verdict"><b class="{kind}">{escape(found["sentence"])}</b></p>'
    return head + chart + table(["tenth", "squared norm", "precision"], rows) + told
