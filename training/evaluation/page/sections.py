"""The sections of a report's page, each a function of the report and its material."""

from __future__ import annotations

from html import escape
from typing import Any

import torch

from training.evaluation.gate import NAMES
from training.evaluation.material import Material
from training.evaluation.page.charts import front, grouped_bars, histogram, line_chart
from training.evaluation.page.images import RAMP, map_uri, paths_uri, sample_uri, scatter_uri
from training.evaluation.page.tables import cost_table, quality_table, table, verdict_list

SORTED_SHOWN, EXTREME_SHOWN = 48, 24
BEST, WORST, GREY = RAMP[2], (214, 93, 14), (128, 128, 128)
MARGIN = 1.15
STANDARD_ERRORS = 2.17
"""Half widths of the 97% interval of a normal estimate."""


def summary(report: dict[str, Any]) -> str:
    gate, data = report["gate"], report["data"]
    kind = "good" if gate["verdict"] == "passed" else "bad"
    where = f"{gate['space']} features ({gate['role']})"
    decisive = NAMES[report["spaces"][-1]["verdicts"]["latentrs"]["improvements"][0]["metric"]]
    return (
        f'<p class="verdict"><b class="{kind}">Weights {escape(gate["verdict"])}.</b> {escape(gate["reason"])}</p>'
        f"<p>latentrs against the prior, {data['rows']} {escape(data['split'])} rows of {escape(data['name'])}, "
        f"{escape(where)}. Asked for: {decisive} and an unbiased distance down by more than "
        f"{gate['minimum_effect']:.0%} at the ends of their 97% intervals, recall down by at most "
        f"{gate['max_recall_loss']:g}, EMD not below that of real data.</p>"
    )


def tables(report: dict[str, Any]) -> str:
    """Every space, the quoted one first, with its further groups of methods."""
    titles = {"slow": "all methods, on fewer rows", "objectives": "other objectives", "seeds": "training seeds"}
    parts = []
    for space in reversed(report["spaces"]):
        head = f"<h3>{escape(space['name'])} features ({escape(space['role'])})</h3>"
        parts.append(head + quality_table(space) + verdict_list(space))
        for group, title in titles.items():
            if group in space:
                parts.append(f"<h4>{title}</h4>{quality_table(space[group])}{verdict_list(space[group])}")
        if "seeds" in space:
            found = space["seeds"]["over_seeds"]
            parts.append(f"<p>{found['passed']} of {found['seeds']} training seeds pass.</p>")
    left_out = "".join(f"<li>{escape(f'{k}: {v}')}</li>" for k, v in report["methods_unavailable"].items())
    protocol = report["protocol"]
    parts.append(
        f"<p>Means with 97% Student intervals over {protocol['blocks']} disjoint blocks of {protocol['block_rows']} "
        f"real rows, each against {protocol['generated_rows_per_block']} generated ones of its own (the floor: "
        f"{protocol['floor_rows_per_block']} rows of training data), in brackets the paired difference to the prior. "
        f"Seed {protocol['seed']}.</p><ul>{left_out}</ul>"
    )
    return "".join(parts)


def cost(report: dict[str, Any]) -> str:
    return cost_table(report)


def quality_cost_front(report: dict[str, Any]) -> str:
    space = report["spaces"][-1]
    methods = space.get("slow", space)["methods"]
    points = {
        name: (report["cost"][name]["times_prior"], values["fid"]["mean"], values["recall"]["mean"])
        for name, values in methods.items()
        if name in report["cost"]
    }
    chart = front(points, ("time over the prior's", f"FID, {space['name']} features"), "recall")
    ramp = "dark is low recall, light is high recall"
    rows = [[name, f"{x:.2f}", f"{y:.4g}", f"{shade:.4g}"] for name, (x, y, shade) in points.items()]
    return f"{chart}<p>Colour: {ramp}.</p>{table(['method', 'time', 'FID', 'recall'], rows)}"


def marginal_precision(report: dict[str, Any]) -> str:
    curve = report["curves"]["marginal_precision"]
    points = [(p["kept"], p["precision"], STANDARD_ERRORS * p["standard_error"]) for p in curve]
    chart = line_chart(points, ("share kept, largest w first", "precision of the slice"))
    return f"{chart}<p>A w that knows bad samples has a curve that falls to the right.</p>"


def weight_histogram(report: dict[str, Any]) -> str:
    found = report["curves"]["weight_histogram"]
    chart = histogram(found["counts"], found["top"], found["cap"], f"cap {found['cap']:g}", ("w", "latents"))
    return (
        f"{chart}<p>{found['rows']} latents of the prior, mean w {found['mean']:.4f}, "
        f"{found['share_above_cap']:.4f} of them above the cap.</p>"
    )


def class_shares(report: dict[str, Any]) -> str:
    shares = report["curves"]["class_shares"]
    if not shares:
        return "<p>This feature space knows no classes.</p>"
    rows = [[str(i), *(f"{share:.4f}" for share in row)] for i, row in enumerate(zip(*shares.values(), strict=True))]
    return grouped_bars(shares, ("class", "share")) + table(["class", *shares], rows)


def story(material: Material) -> str:
    """Of points: samples, distance map, w map, samples after."""
    edge, found = edge_of(material), material.latent_map
    real = material.train.samples[:4_000]
    panels = [(scatter_uri([(real, GREY), (material.samples, WORST)], edge), "samples of the prior over the data")]
    if found is not None:
        low, high = float(found.distance.min()), float(found.distance.max())
        told = f"latents: distance to the data, {low:.3g} (dark) to {high:.3g} (light)"
        panels.append((map_uri(found.distance), told))
        low, high = float(found.weight.min()), float(found.weight.max())
        panels.append((map_uri(found.weight), f"latents: w, {low:.3g} (dark) to {high:.3g} (light)"))
    panels.append((scatter_uri([(real, GREY), (material.after, BEST)], edge), "samples of latentrs over the data"))
    return f'<div class="panels">{"".join(figure(uri, text) for uri, text in panels)}</div>'


def sorted_samples(material: Material) -> str:
    """Evenly spaced ranks, largest probability first."""
    if material.train.is_points:
        return story(material)
    ranks = torch.linspace(0, len(material.samples) - 1, SORTED_SHOWN).round().long()
    chances = material.acceptance(material.weights[ranks])
    return gallery([(sample_uri(material.samples[i]), f"{p:.2f}") for i, p in zip(ranks, chances, strict=True)])


def extremes(material: Material) -> str:
    if material.train.is_points:
        groups = [(material.samples[: material.extreme], BEST), (material.samples[-material.extreme :], WORST)]
        uri = scatter_uri([(material.train.samples[:4_000], GREY), *groups], edge_of(material))
        return f'<div class="panels">{figure(uri, "best 5% (green) and worst 5% (orange) by w")}</div>'
    parts = []
    for title, rows in (("worst 5%", slice(-material.extreme, None)), ("best 5%", slice(0, material.extreme))):
        uris = [(sample_uri(image), "") for image in material.samples[rows][:EXTREME_SHOWN]]
        parts.append(f"<div><h3>{title}</h3>{gallery(uris)}</div>")
    return f'<div class="pair">{"".join(parts)}</div>'


def ascent(report: dict[str, Any], material: Material) -> str:
    found = report["pictures"]["ascent"]
    told = f"<p>Acceptance probability, mean: {found['start']:.4f} at the start, {found['end']:.4f} at the end.</p>"
    if material.train.is_points:
        uri = paths_uri(material.train.samples[:4_000], material.path, edge_of(material))
        return f'{told}<div class="panels">{figure(uri, "samples on the way; a dot where each ends")}</div>'
    chances = material.acceptance(material.path_weights)
    rows = []
    for i in range(material.path.shape[1]):
        steps = zip(material.path[:, i], chances[:, i], strict=True)
        rows.append(f'<div class="path">{gallery([(sample_uri(image), f"{p:.2f}") for image, p in steps])}</div>')
    return told + "".join(rows)


def memorisation(report: dict[str, Any], material: Material) -> str:
    found = report["pictures"]["memorisation"]
    told = (
        f"<p>The {found['samples']} samples of largest w lie {found['median_distance_to_training']:.4g} from the "
        f"nearest training row (median, raw values), held-out rows {found['median_distance_of_test_rows']:.4g}. "
        "Copies would lie much nearer than held-out rows do.</p>"
    )
    if material.train.is_points:
        return told
    near = material.nearest
    pairs = []
    for sample, index, distance in zip(near.samples, near.index, near.distance, strict=True):
        real = material.train.samples[index]
        pairs.append((sample_uri(sample), "sample"))
        pairs.append((sample_uri(real), f"training, {float(distance):.2f}"))
    return told + gallery(pairs)


def edge_of(material: Material) -> float:
    return MARGIN * float(material.train.samples[:4_000].abs().max())


def figure(uri: str, text: str) -> str:
    caption = f"<figcaption>{escape(text)}</figcaption>" if text else ""
    return f'<figure><img src="{uri}" alt="{escape(text or "sample", quote=True)}">{caption}</figure>'


def gallery(pictures: list[tuple[str, str]]) -> str:
    return f'<div class="gallery">{"".join(figure(uri, text) for uri, text in pictures)}</div>'
