"""Figure 2: four manifolds of which the generator meets two and just misses two.

Density ratios are zero where generator and data do not overlap, so methods that reject by them lose whole modes; a
distance knows that a near miss is near.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from models.bundle import load_bundle, save_bundle
from models.critics import MlpCritic
from models.generators.mlp import MlpGenerator
from models.manifest import Manifest, NetworkSpec, OutputSpec, PriorSpec
from models.mlp import LEAKY_SLOPE
from training.data.dataset import Dataset
from training.metrics.intervals import Interval, student_interval
from training.pipeline import LICENCE, NO_HASH
from training.reproduce import page
from training.reproduce.measure import Measured, Row, draws, measure, references, together
from training.reproduce.options import Options
from training.reproduce.subject import with_baselines, with_weights

CENTRES = (-3.0, -1.0, 1.0, 3.0)
MISSED = (2, 3)
"""Modes of the data, upright segments of length 1 at these abscissae, above which the generator lands."""
MISS = 1.2
"""Upwards: the samples begin a fifth of a segment above its end. Sideways would not do: the bridge to a mode that is
missed sideways crosses the mode itself."""
THICKNESS = 0.02
"""Half the width of a segment."""
BRIDGE = 0.15
"""Of z's range [-1, 1], between two modes: a connected prior must cross, and these samples are junk."""
JUNK_DISTANCE = 0.6
TRAIN_ROWS, TEST_ROWS = 30_000, 12_000
CRITIC = {"input_dim": 2, "hidden": [256, 256, 256]}
CLASSIFIER_PATIENCE = 3
"""Times the usual steps: with two layers of 128 and 1,500 steps the classifier overlooked a miss of 0.2 sideways."""
HIDDEN = (64, 64, 64)
FLOOR_SHARE = 0.05
"""A mode with less than this share of the samples, a fifth of its own, counts as lost."""
BASELINES: tuple[Row, ...] = (("prior", {}), ("drs", {}), ("mh", {}), ("sir", {}))
LATENT: tuple[Row, ...] = (("prior", {}), ("latentrs", {}))
METRICS = ("emd_squared", "energy_distance", "precision", "recall")


def segments(rows: int, seed: int) -> Dataset:
    """Four upright segments of length 1, equally likely; labels are the segments."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(CENTRES), (rows,), generator=rng)
    across = (2 * torch.rand(rows, generator=rng) - 1) * THICKNESS
    along = torch.rand(rows, generator=rng) - 0.5
    return Dataset("segments", torch.stack([torch.tensor(CENTRES)[labels] + across, along], dim=1), labels)


def staircase() -> MlpGenerator:
    """Uniform latents on [-1, 1]^2 -> points: the first coordinate climbs a staircase of four treads, two of them
    lifted, with steep bridges between them; the second runs along the segment. Weights set by hand."""
    knots, across, lifts = _profile()
    generator = MlpGenerator(2, (2,), hidden=(len(knots),))
    first, last = generator.body[0], generator.body[-1]
    assert isinstance(first, torch.nn.Linear) and isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.zero_()
        # Two units that are always on carry the linear parts; the others bend the lines at the inner knots.
        first.weight[0, 0], first.weight[1, 1] = 1.0, 1.0
        first.bias[:2] = 2.0
        first.weight[2:, 0], first.bias[2:] = 1.0, -knots[1:-1]
        for output, heights in enumerate((across, lifts)):
            last.weight[output, 0], last.weight[output, 2:] = _bent_line(knots, heights)
        last.weight[1, 1] = 0.5
        last.bias.copy_(torch.stack([across[0], lifts[0]]) - generator(torch.tensor([[-1.0, 0.0]]))[0])
    return generator


def _bent_line(knots: torch.Tensor, heights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope of the linear part and amounts of LeakyReLU units at the inner knots of the line through (knots, heights).

    A unit of amount a bends by (1 - slope) * a and adds slope * a to the line on both sides of its knot.
    """
    slopes = heights.diff() / knots.diff()
    amounts = slopes.diff() / (1 - LEAKY_SLOPE)
    return slopes[0] - LEAKY_SLOPE * amounts.sum(), amounts


def _profile() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """First latent coordinate at the ends of each tread, and there the abscissa and the lift of the sample."""
    tread = (2 - 3 * BRIDGE) / len(CENTRES)
    knots, across, lifts = [], [], []
    for mode, centre in enumerate(CENTRES):
        start = -1 + mode * (tread + BRIDGE)
        knots += [start, start + tread]
        across += [centre - THICKNESS, centre + THICKNESS]
        lifts += [MISS if mode in MISSED else 0.0] * 2
    return torch.tensor(knots), torch.tensor(across), torch.tensor(lifts)


def base_bundle(out: Path) -> Path:
    """The staircase with a critic that has learned nothing yet."""
    torch.manual_seed(0)
    generator, critic = staircase(), MlpCritic(2, (256, 256, 256))
    spec = {"latent_dim": 2, "output_shape": [2], "hidden": [generator.body[0].out_features]}
    manifest = Manifest(
        name="staircase",
        version="1",
        licence=LICENCE,
        description="Four treads beside four segments, two of them missed.",
        prior=PriorSpec(kind="uniform", dim=2),
        output=OutputSpec(kind="points", shape=(2,)),
        networks={
            "generator": NetworkSpec(architecture="mlp-generator", config=spec, sha256=NO_HASH),
            "critic": NetworkSpec(architecture="mlp-critic", config=CRITIC, sha256=NO_HASH),
        },
    )
    save_bundle(out, manifest, {"generator": generator, "critic": critic})
    return out


def regenerate(options: Options) -> str:
    """The block for docs/results.md."""
    measured, shares = measured_modes(options)
    return "\n\n".join([
        page.markdown(measured, None, METRICS),
        modes_table(shares),
        "The figure prints no numbers; its claim is that rejection by density ratio drops what does not overlap and "
        f"reweighting does not. A mode is lost below {FLOOR_SHARE:.0%} of the samples (its own share is 25%); junk is "
        f"what lies more than {JUNK_DISTANCE:g} from every segment's line.",
        page.facts({
            "n": measured.table.block_rows,
            "blocks": options.effort.blocks,
            "training seeds": 1,
            "objective": options.objective,
        }),
    ])  # fmt: skip


def measured_modes(options: Options) -> tuple[Measured, dict[str, torch.Tensor]]:
    """The usual table, and of each row the shares [blocks, 5] of the four modes and of junk."""
    data, effort = (segments(TRAIN_ROWS, 0), segments(TEST_ROWS, 1)), options.effort
    base = with_baselines(base_bundle(options.work / "base" / "staircase"), data[0], patient(options))
    weighted = load_bundle(with_weights(base, "staircase", data[0], options, HIDDEN), options.device)
    n, plain = effort.block_rows * effort.blocks, load_bundle(base, options.device)
    first = measure(plain, BASELINES, data, options, n, effort.blocks)
    measured = together(first, measure(weighted, LATENT, data, options, n, effort.blocks))
    drawn = draws(plain, BASELINES, n, options)[0] | draws(weighted, LATENT, n, options)[0]
    _, floor = references(*data, n)
    sets = {"floor": floor, **{name: found.samples for name, found in drawn.items()}}
    return measured, {
        name: torch.stack([shares(x) for x in found.split(effort.block_rows)]) for name, found in sets.items()
    }


def patient(options: Options) -> Options:
    """The classifier here starts from nothing, not from the critic of a GAN."""
    classifier = options.effort.classifier
    assert classifier.steps is not None, "an effort says how long"
    longer = replace(classifier, steps=CLASSIFIER_PATIENCE * classifier.steps)
    return replace(options, effort=replace(options.effort, classifier=longer))


def shares(samples: torch.Tensor) -> torch.Tensor:
    """Shares [5] of the four modes, in order, and of junk."""
    distance = (samples[:, :1] - torch.tensor(CENTRES)).abs()
    nearest = torch.where(distance.amin(1) > JUNK_DISTANCE, len(CENTRES), distance.argmin(1))
    return nearest.bincount(minlength=len(CENTRES) + 1) / len(samples)


def modes_table(found: dict[str, torch.Tensor]) -> str:
    """Share of each mode with its interval over blocks, and how many are left."""
    heads = [f"mode {mode + 1}{', missed' if mode in MISSED else ''}" for mode in range(len(CENTRES))]
    lines = [f"| method | {' | '.join(heads)} | junk | modes kept |", "| --- |" + " --- |" * (len(heads) + 2)]
    for name, values in found.items():
        cells = [_percent(student_interval(column.tolist())) for column in values.T]
        kept = int((values.mean(0)[: len(CENTRES)] >= FLOOR_SHARE).sum())
        lines.append(f"| {name} | {' | '.join(cells)} | {kept} of {len(CENTRES)} |")
    return "\n".join(lines)


def _percent(value: Interval) -> str:
    return f"{100 * value.mean:.1f} ± {100 * value.half_width:.1f}%"
