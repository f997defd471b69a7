"""``winnow train gan|features|weights|ascents|classifier|pilot``: the offline side, each step a bundle on disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.commands.arguments import (
    assignment,
    check_writable,
    gate_limits,
    positive_float,
    positive_int,
    real,
    seed,
    source,
    threads,
    whole,
)

if TYPE_CHECKING:
    from training.pilot.ascents import Climb

REJECTED = 1
"""Exit code: the weights are saved, and the quality gate rejected them."""


def register(commands: Any) -> None:
    parser = commands.add_parser("train", help="train a generator, feature spaces, weights, a classifier")
    steps = parser.add_subparsers(dest="what", required=True, metavar="gan|features|weights|ascents|classifier|pilot")
    _register_gan(steps)
    _register_features(steps)
    _register_weights(steps)
    _register_classifier(steps)
    _register_ascents(steps)
    _register_pilot(steps)


def _common(steps: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = steps.add_parser(name, help=text)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=threads, help="CPU threads for torch (default: torch's own choice)")
    parser.set_defaults(run=run)
    return parser


def _register_gan(steps: Any) -> None:
    parser = _common(steps, "gan", "train a GAN from a preset; resumes when --out holds a checkpoint", run_gan)
    parser.add_argument("--preset", required=True, help="fashion-mnist, mnist, digits, gaussians-25 or swiss-roll")
    parser.add_argument("--data", type=source, help="name or path of the data (default: the preset's)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--loss", choices=("hinge", "wasserstein"))
    text = "of the layers' arithmetic; bfloat16 paid on a CPU with AMX (default: the preset's)"
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help=text)
    for name in ("steps", "batch"):
        parser.add_argument(f"--{name}", type=positive_int)
    parser.add_argument("--seed", type=seed)
    parser.add_argument("--penalty", type=real(0))
    parser.add_argument("--ema-decay", type=real(0, 1))
    parser.add_argument("--checkpoint-every", type=positive_int, default=500, help="steps (default: 500)")
    parser.add_argument("--snapshot-every", type=positive_int, default=2_500, help="steps (default: 2500)")


def _register_features(steps: Any) -> None:
    parser = _common(steps, "features", "train the two classifiers that metrics are measured with", run_features)
    parser.add_argument("--bundle", type=Path, required=True, help="bundle to add them to, in place")
    parser.add_argument("--data", type=source, required=True, help="labelled 28x28 data, name or path")


def _register_weights(steps: Any) -> None:
    parser = _common(steps, "weights", "train importance weights for a bundle's generator", run_weights)
    parser.add_argument("--bundle", type=Path, required=True, help="bundle with the generator")
    parser.add_argument("--data", type=source, required=True, help="name or path of the data")
    parser.add_argument(
        "--objective", "--preset", help="a name of docs/training.md (default: the one that it recommends)"
    )
    parser.add_argument("--option", type=assignment, nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        help="of the objective, as in solver=sinkhorn power=2")  # fmt: skip
    parser.add_argument("--features", type=Path, help="exported network that maps images to features [n, f]")
    text = "another one, which training does not read, for the quality gate to judge in"
    parser.add_argument("--independent-features", type=Path, help=text)
    parser.add_argument(
        "--spaces", nargs="+", action="extend", choices=("features", "samples", "critic"), help="(default: features)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the result is its bundle/")
    parser.add_argument("--steps", type=positive_int)
    parser.add_argument("--seed", type=seed)
    parser.add_argument("--cap", type=real(1, above=True))
    parser.add_argument("--lr", type=positive_float)
    parser.add_argument("--pool-rows", type=whole(2))
    parser.add_argument("--hidden", type=positive_int, nargs="+", action="extend", help="widths of the hidden layers")
    parser.add_argument("--activation", choices=("leaky_relu", "silu"), help="of the hidden layers")
    text = "of the learning rate; cosine falls to zero over the steps"
    parser.add_argument("--schedule", choices=("constant", "cosine"), help=text)
    parser.add_argument("--no-gate", action="store_true", help="save the weights unchecked by the quality gate")
    gate_limits(parser)


def _register_ascents(steps: Any) -> None:
    text = "measure how many steps latentga and latentrsga take; train weights does it for the weights that it makes"
    parser = _common(steps, "ascents", text, run_ascents)
    parser.add_argument(
        "--bundle", type=Path, required=True, help="bundle with weights, to set the defaults of, in place"
    )
    text = "the same as for the weights, name or path: of it the rows are read that no training reads"
    parser.add_argument("--data", type=source, required=True, help=text)
    text = "compare large images, too, pixel by pixel where there is no feature network"
    parser.add_argument("--pixels", action="store_true", help=text)
    parser.add_argument(
        "--features", type=Path, help="the network that the weights were trained with, if one was given"
    )
    parser.add_argument("--seed", type=seed, default=0, help="(default: 0)")


def _register_pilot(steps: Any) -> None:
    parser = _common(steps, "pilot", "measure the constants that jbt and simplicial need", run_pilot)
    parser.add_argument("--bundle", type=Path, required=True, help="bundle to add them to, in place")
    parser.add_argument("--data", type=source, help="labelled data: its classes, where the bundle has no classifier")
    parser.add_argument("--seed", type=seed, default=0, help="(default: 0)")


def _register_classifier(steps: Any) -> None:
    text = "fine-tune a bundle's critic into the classifier of drs, mh and sir and the critic of dot"
    parser = _common(steps, "classifier", text, run_classifier)
    parser.add_argument("--bundle", type=Path, required=True, help="bundle with the generator and its critic")
    parser.add_argument("--data", type=source, required=True, help="name or path of the data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the result is its bundle/")
    for name, text in (("steps", "3000, for points 10000"), ("critic-steps", "1500, for points 5000"),
                       ("batch", "128, for points 256")):  # fmt: skip
        parser.add_argument(f"--{name}", type=positive_int, help=f"(default: {text})")
    parser.add_argument("--lr", type=positive_float, help="(default: 0.0002, for points 0.001)")
    parser.add_argument("--penalty", type=real(0), help="of the classifier's gradient (default: 10, for points 0)")
    parser.add_argument("--critic-penalty", type=real(0), help="of the critic's gradient (default: 10, for points 0.1)")
    parser.add_argument("--held-out-rows", type=whole(20), help="real rows of each of three held-out parts")
    parser.add_argument("--seed", type=seed)


def run_gan(args: argparse.Namespace) -> int:
    from training.data.catalog import load
    from training.gan import train_gan
    from training.pipeline import gan_bundle
    from training.presets import GAN_PRESETS
    from training.shapes import check_gan_fits

    config = _choose(GAN_PRESETS, args.preset, "preset")
    names = ("data", "loss", "precision", "steps", "batch", "seed", "penalty", "ema_decay")
    given = {name: getattr(args, name) for name in names}
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    check_writable(args.out, "--out")
    data, device = load(config.data, "train"), _device(args)
    check_gan_fits(config, data)
    train_gan(config, data, args.out, device, args.checkpoint_every, args.snapshot_every)
    manifest = gan_bundle(args.out, args.out / "bundle")
    print(f"{args.out / 'bundle'}: {manifest.description}")
    return 0


def run_features(args: argparse.Namespace) -> int:
    from models.bundle import load_bundle
    from training.data.catalog import load
    from training.pipeline import add_features
    from training.shapes import check_bundle_fits, check_classifier_data

    check_writable(args.bundle, "--bundle")
    train, test = load(args.data, "train"), load(args.data, "test")
    check_classifier_data(train, test)
    check_bundle_fits(load_bundle(args.bundle), train, test)
    scores = add_features(args.bundle, train, test, _device(args))
    for role, score in scores.items():
        print(f"{role}: test accuracy {score:.4f}")
    return 0


def run_weights(args: argparse.Namespace) -> int:
    from models.bundle import read_manifest
    from training.data.catalog import load
    from training.evaluation.check import check_enough_for_gate
    from training.evaluation.gate import Limits
    from training.extractor import ExtractorFiles
    from training.pilot.add import tune_ascents
    from training.pipeline import weights_bundle
    from training.presets import WEIGHTS_PRESETS, default_objective
    from training.refusals import EXPECTED
    from training.weights.options import with_options

    manifest = read_manifest(args.bundle)
    default = default_objective(manifest.output)
    config = _choose(WEIGHTS_PRESETS, args.objective or default, "objective")
    given = {
        name: getattr(args, name) for name in ("steps", "seed", "cap", "lr", "pool_rows", "activation", "schedule")
    }
    given |= {name: tuple(getattr(args, name)) if getattr(args, name) else None for name in ("hidden", "spaces")}
    given["objective"] = with_options(config.objective, args.option)
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    check_writable(args.out, "--out")
    device, data = _device(args), load(args.data, "train")
    limits = None if args.no_gate else Limits(args.minimum_effect, args.max_recall_loss)
    if limits is not None:
        check_enough_for_gate(data)
    if manifest.output.kind == "image" and not (args.features or args.spaces or "features" in manifest.networks):
        text = "no feature network in the bundle: distances are taken between pixels; winnow train features adds two"
        print(f"winnow: {text}", file=sys.stderr)
    extractors = ExtractorFiles(args.features, args.independent_features)
    trained = weights_bundle(config, args.bundle, data, args.out, device, limits=limits, extractors=extractors)
    energies = f"{trained.unweighted:.5f} -> {trained.held_out:.5f}"
    if trained.flat:
        print("no weights beat w = 1 on held-out data beyond the noise: w = 1 is kept")
    print(f"held-out energy distance {energies}; bundle in {args.out / 'bundle'}")
    spec = read_manifest(args.out / "bundle").importance
    assert spec is not None
    if spec.verdict == "rejected":
        print(f"winnow: the weights are rejected by the quality gate: {spec.reason}", file=sys.stderr)
        return REJECTED
    print(f"quality gate: {spec.verdict}{f', {spec.reason}' if spec.reason else ''}")
    if trained.flat:
        return 0
    try:
        pixels = "features" not in config.spaces
        print_climbs(tune_ascents(args.out / "bundle", data, config.seed, device, args.features, pixels))
    except EXPECTED as error:
        print(f"winnow: the weights are saved; how many steps ascents take was not measured: {error}", file=sys.stderr)
    return 0


def run_ascents(args: argparse.Namespace) -> int:
    from training.data.catalog import load
    from training.pilot.add import tune_ascents

    check_writable(args.bundle, "--bundle")
    data, device = load(args.data, "train"), _device(args)
    print_climbs(tune_ascents(args.bundle, data, args.seed, device, args.features, args.pixels))
    if (args.bundle / "report.json").exists():
        print(f"the report in {args.bundle} is of the steps before: winnow evaluate makes another")
    return 0


def print_climbs(climbs: Mapping[str, Climb]) -> None:
    for method, climb in climbs.items():
        distances = ", ".join(f"{steps}: {distance:.5f}" for steps, distance in climb.distances.items())
        chosen = (
            f"steps={climb.steps}" if climb.pays else "climbing does not pay beyond the noise; steps=1, the mildest"
        )
        gain = f"gain {climb.gain:.5f} ± {climb.error:.5f} standard error"
        print(f"{method}: {chosen} ({gain}; distance to real rows by steps: {distances})")


def run_pilot(args: argparse.Namespace) -> int:
    from models.bundle import load_bundle
    from training.data.catalog import load
    from training.pilot.add import add_pilot, measure_pilot
    from training.shapes import check_bundle_fits

    check_writable(args.bundle, "--bundle")
    bundle = load_bundle(args.bundle, _device(args))
    data = None if args.data is None else load(args.data, "train")
    if data is not None:
        check_bundle_fits(bundle, data)
    sections, reasons = measure_pilot(bundle, args.seed, data)
    add_pilot(args.bundle, sections)
    for name in sections:
        print(f"{name}: measured")
    for name, reason in reasons.items():
        print(f"{name}: left as it was, {reason}")
    return 0


def run_classifier(args: argparse.Namespace) -> int:
    from training.classifier import ClassifierConfig, classifier_bundle
    from training.data.catalog import load

    names = ("steps", "critic_steps", "batch", "lr", "penalty", "critic_penalty", "held_out_rows", "seed")
    given = {name: getattr(args, name) for name in names}
    config = ClassifierConfig(**{name: value for name, value in given.items() if value is not None})
    check_writable(args.out, "--out")
    pilot = classifier_bundle(config, args.bundle, load(args.data, "train"), args.out, _device(args))
    assert pilot.classifier is not None and pilot.drs is not None
    loss, z, rate = pilot.classifier.log_loss, pilot.classifier.reliability, pilot.drs.acceptance_rate
    quality = f"held-out log loss {loss:.4f} (no knowledge: 0.6931), reliability Z {z:+.2f}, drs accepts {rate:.4f}"
    print(f"{quality}; bundle in {args.out / 'bundle'}")
    return 0


def _choose(presets: dict[str, Any], name: str, what: str) -> Any:
    from training.errors import TrainingRefused

    if name not in presets:
        raise TrainingRefused(f"unknown {what} {name!r}; known: {', '.join(presets)}")
    return presets[name]


def _device(args: argparse.Namespace) -> Any:
    from training.device import choose_device

    return choose_device(args.device, args.threads)
