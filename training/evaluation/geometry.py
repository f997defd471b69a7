"""Can filtering pay? What the generator does to its latent space, measured before any weights are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from models.bundle import Bundle
from sampling.jacobian import draw_probes, jacobian_score, which_derivative
from training.data.dataset import Dataset
from training.evaluation.blocks import Space, rows_of
from training.evaluation.curves import in_balls
from training.evaluation.drawing import as_delivered
from training.evaluation.report import shuffled, spaces_of
from training.metrics.intervals import CONFIDENCE
from training.metrics.neighbours import DEFAULT_K, knn_radii
from training.pilot.simplicial import classifier_of
from training.randomness import step_generator

DECILES = 10
PROBES = 10
BLOCK, JACOBIAN_BLOCK = 500, 100
REAL_ROWS = 4_096
LOGISTIC_STEPS = 200
UNEVEN = 2.0
"""Squared norms of the worst and the best tenth, below which the ranking says little: a linear generator has 1."""
GAP = 0.05
"""Precision that the most stretched tenth must lack, at the end of the interval, before filtering is said to pay."""
STREAMS = {"jacobian": 1, "train": 2, "test": 3, "pairs": 4}


@dataclass(frozen=True)
class GeometryRows:
    """Latents of each part. The published table has 100,000 and 10,000 for the regression."""

    train: int = 100_000
    jacobian: int = 4_000

    @property
    def test(self) -> int:
        return max(DECILES, self.train // 10)


DEFAULT_ROWS = GeometryRows()


def latent_geometry(
    bundle: Bundle,
    train: Dataset,
    seed: int,
    device: torch.device,
    rows: GeometryRows = DEFAULT_ROWS,
    space: Space | None = None,
) -> dict[str, Any]:
    """Deciles of the Jacobian norm with the precision of each, how simply classes lie, and a sentence.

    Reads training data only: what it advises must not have seen the test split. ``train`` with labels names the classes
    where the bundle has no classifier and makes points; ``space`` of the precision is the bundle's last by default.
    """
    jacobian = stretched(bundle, train, seed, device, rows.jacobian, space)
    classify = classifier_of(bundle, train)
    classes = None if classify is None else class_regions(bundle, classify, seed, device, rows)
    can_pay = jacobian["ratio"] >= UNEVEN and jacobian["gap"] - jacobian["gap_half_width"] > GAP
    return {
        "seed": seed,
        "rows": {"jacobian": rows.jacobian, "train": rows.train, "test": rows.test},
        "jacobian": jacobian,
        "classes": classes,
        "can_pay": can_pay,
        "sentence": sentence(jacobian, can_pay),
    }


def sentence(jacobian: dict[str, Any], can_pay: bool) -> str:
    """What the numbers mean for a user who asks whether to train weights."""
    times = f"{jacobian['ratio']:.3g} times the squared Jacobian norm of the least"
    ratio = f"the most stretched tenth of the latents has {times}"
    gap = f"its samples have {jacobian['gap']:.3f} ± {jacobian['gap_half_width']:.2g} less precision than the others"
    if can_pay:
        return f"Filtering can pay: {ratio}, and {gap}."
    if jacobian["ratio"] < UNEVEN:
        return f"Filtering is unlikely to pay: {ratio}, so no region of the latent space is torn between modes."
    return f"Filtering is not shown to pay: {ratio}, but {gap}; weights could still mend the shares of modes."


def stretched(
    bundle: Bundle, train: Dataset, seed: int, device: torch.device, rows: int, space: Space | None = None
) -> dict[str, Any]:
    """Latents ranked by Jacobian norm: mean score and precision of each tenth, in ``space`` or the bundle's last."""
    space, found = space or spaces_of(bundle)[-1], []
    derivative = which_derivative(bundle.generator, torch.zeros(1, bundle.prior.dim, device=device))
    probes = draw_probes(PROBES, bundle.prior.dim, seed).to(device)
    inside = precise(space, train, device)
    for z in latents(bundle, rows, seed, "jacobian", device, JACOBIAN_BLOCK):
        scored = jacobian_score(bundle.generator, z, probes, derivative)
        found.append((scored.score.cpu(), inside(as_delivered(bundle, scored.samples))))
    score, good = (torch.cat(part) for part in zip(*found, strict=True))
    order = score.argsort(stable=True)
    deciles = [_decile(score[part].double(), good[part].double()) for part in order.tensor_split(DECILES)]
    rest = good[order[: -(len(order) // DECILES)]].double()
    gap = float(rest.mean()) - deciles[-1]["precision"]
    half = sqrt(_half_width(rest) ** 2 + deciles[-1]["half_width"] ** 2)
    total = float(score.double().sum())
    return {
        "space": space.name,
        "deciles": deciles,
        "ratio": deciles[-1]["mean_score"] / deciles[0]["mean_score"] if deciles[0]["mean_score"] > 0 else 1.0,
        "share_of_worst": float(score[order[-(len(order) // DECILES) :]].double().sum()) / total if total else 0.0,
        "gap": gap,
        "gap_half_width": half,
    }


def class_regions(
    bundle: Bundle, classify: Callable[[torch.Tensor], torch.Tensor], seed: int, device: torch.device,
    rows: GeometryRows,
) -> dict[str, float] | None:  # fmt: skip
    """Accuracy of a multinomial logistic regression z -> class of G(z), and how convex classes are; None for one class.

    Convexity: of lines between two latents of one class, the share whose random point keeps the class.
    """

    @torch.no_grad()
    def labelled(parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([classify(bundle.generator(z)).cpu() for z in parts])

    train = latents(bundle, rows.train, seed, "train", device)
    test = latents(bundle, rows.test, seed, "test", device)
    known, asked = labelled(train), labelled(test)
    if len(known.unique()) < 2:
        return None
    model = LogisticRegression(max_iter=LOGISTIC_STEPS).fit(torch.cat(train).cpu().numpy(), known.numpy())
    z = torch.cat(test)
    rng = step_generator(seed, STREAMS["pairs"])
    first, second = _pairs_of_one_class(asked, rng)
    weight = torch.rand(len(first), 1, generator=rng).to(device)
    between = (weight * z[first.to(device)] + (1 - weight) * z[second.to(device)]).split(BLOCK)
    return {
        "count": len(known.unique()),
        "logistic_accuracy": float(model.score(z.cpu().numpy(), asked.numpy())),
        "largest_share": float(asked.bincount().max()) / len(asked),
        "convexity": float((labelled(list(between)) == asked[first]).double().mean()),
    }


def precise(space: Space, train: Dataset, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Whether samples lie in the ball of a training row, in ``space``."""
    data = shuffled(train)
    real = rows_of(space, data.samples[:REAL_ROWS], device).features
    radii = knn_radii(real, DEFAULT_K)
    return lambda samples: in_balls(real, radii, rows_of(space, samples, device).features)


def latents(
    bundle: Bundle, rows: int, seed: int, part: str, device: torch.device, block: int = BLOCK
) -> list[torch.Tensor]:
    """Fresh latents of the prior in blocks; each part has a stream of its own."""
    z = bundle.prior.sample(rows, step_generator(seed, STREAMS[part]))
    return [rows.to(device) for rows in z.split(block)]


def _pairs_of_one_class(classes: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Every row with a random other one of its class."""
    shuffled_rows = torch.randperm(len(classes), generator=rng)
    first = shuffled_rows[classes[shuffled_rows].argsort(stable=True)]
    second = first.roll(1)
    same = classes[first] == classes[second]
    return first[same], second[same]


def _decile(score: torch.Tensor, good: torch.Tensor) -> dict[str, float]:
    return {"mean_score": float(score.mean()), "precision": float(good.mean()), "half_width": _half_width(good)}


def _half_width(good: torch.Tensor) -> float:
    share = float(good.mean())
    return float(norm.ppf((1 + CONFIDENCE) / 2)) * sqrt(share * (1 - share) / len(good))
