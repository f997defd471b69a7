"""``report.html``: one file without script or network that shows what report.json says."""

from __future__ import annotations

from html import escape
from typing import Any

from training.evaluation.material import Material
from training.evaluation.page import sections
from training.evaluation.page.geometry import geometry

STYLE = """
:root { color-scheme: light dark; --good: #15803d; --bad: #b91c1c; --series: #0e7490; --soft: #8884 }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #f87171; --series: #22d3ee } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 1.5rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--soft) }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .9rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--soft); white-space: nowrap }
.wide { overflow-x: auto }
.verdict { font-size: 1.15rem }
.good { color: var(--good) } .bad { color: var(--bad) }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(3.5rem, 1fr)); gap: .4rem; max-width: 48rem }
.path .gallery { grid-template-columns: repeat(6, minmax(2rem, 4.5rem)) }
.pair, .panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1.5rem }
.panels figure { max-width: 26rem }
figure { margin: 0 } figcaption { font-size: .75rem; text-align: center }
img { width: 100%; image-rendering: pixelated; background: #8881; display: block }
svg { width: 100%; max-width: 40rem; display: block } svg text { font-size: 11px; fill: currentColor }
.axis { fill: none; stroke: currentColor } .series { fill: none; stroke: var(--series); stroke-width: 2 }
.faint { stroke: var(--series); opacity: .45 } .bar, .s0 { fill: var(--series) } .s1 { fill: #d97706 }
.s2 { fill: #7c6fd0 } .mark { stroke: var(--bad); stroke-dasharray: 4 3 } .dot { stroke: currentColor }
"""


def render(report: dict[str, Any], material: Material | None) -> str:
    """The page of ``report``. Without ``material`` (no weights yet) it has the latent geometry alone."""
    found = [] if material is None else body(report, material)
    if "latent_geometry" in report:
        found.append(("geometry", "Can filtering pay? The latent geometry", geometry(report["latent_geometry"])))
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in found)
    parts = "".join(f'<section id="{key}"><h2>{escape(title)}</h2>{html}</section>' for key, title, html in found)
    name = escape(report["model"])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}: report</title><style>{STYLE}</style></head>"
        f"<body><h1>{name}</h1><nav>{links}</nav>{parts}"
        f"<footer><p>Bundle {escape(report['bundle_digest'][:12])}. The numbers are those of report.json.</p></footer>"
        "</body></html>\n"
    )


def body(report: dict[str, Any], material: Material) -> list[tuple[str, str, str]]:
    """(anchor, title, content) in order of reading."""
    points = material.train.is_points
    return [
        ("verdict", "Verdict", sections.summary(report)),
        ("quality", "Quality", sections.tables(report)),
        ("cost", "Acceptance and cost", sections.cost(report)),
        ("front", "Quality against cost", sections.quality_cost_front(report)),
        ("sorted", "The story in the plane" if points else "Sorted by acceptance probability",
         sections.sorted_samples(material)),
        ("extremes", "Worst 5% against best 5%", sections.extremes(material)),
        ("ascent", "Ascent", sections.ascent(report, material)),
        ("marginal", "Marginal precision", sections.marginal_precision(report)),
        ("weights", "Histogram of w", sections.weight_histogram(report)),
        ("classes", "Class shares before and after", sections.class_shares(report)),
        ("nearest", "Nearest training data", sections.memorisation(report, material)),
    ]  # fmt: skip
