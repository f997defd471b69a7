"""``winnow train classifier``: the density-ratio classifier and the Wasserstein critic of the baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import nn

from models.bundle import Bundle, load_bundle, save_bundle
from models.manifest import NetworkRole
from models.pilot import Pilot
from training.data.catalog import fixed_split
from training.data.dataset import DataError, Dataset
from training.errors import TrainingRefused
from training.finetune import FinetuneConfig, FinetuneRun, RatioLoss, Score, finetune
from training.logistic import fit_logistic, log_loss
from training.pilot.ratio import generated, measure_classifier, measure_dot, measure_drs, measure_mh, scores_of
from training.pipeline import problem_of
from training.weights.problem import SPLIT_SEED
from training.writing import write_json

CLASSIFIER_CHECKPOINT, CRITIC_CHECKPOINT = "classifier.safetensors", "wasserstein-critic.safetensors"
RECORD = "classifier.json"
SELECTION_SEED, CALIBRATION_SEED, BOUND_SEED, LIPSCHITZ_SEED, CRITIC_SEED = (3_000_000 + i for i in range(5))
"""Offsets from the run's seed, so that no two parts share a stream."""
HELD_OUT_PARTS = 3  # selection, calibration, its check
LEAST_HELD_OUT = 20
USUAL_SHIFT = 80
"""Percentile of the acceptance logit: between the 60 and the 95 of two public implementations."""
LEAST_PLAIN_ACCEPTANCE = 0.01
"""A plain rule that accepts less costs over a hundred decodes an image: nobody's idea of a default."""


@dataclass(frozen=True)
class KindSettings:
    """What depends on the kind of samples: steps of both networks, rows of a batch, weights of the two gradient
    penalties, learning rate."""

    steps: int
    critic_steps: int
    batch: int
    penalty: float
    critic_penalty: float
    lr: float


DEFAULTS = {
    "image": KindSettings(3_000, 1_500, 128, 10.0, 10.0, 2e-4),
    "points": KindSettings(10_000, 5_000, 256, 0.0, 0.1, 1e-3),
}
"""Narrow modes need steep networks and time. On 25 Gaussians (std 0.018) the classifier's held-out log loss was 0.465,
0.468 and 0.513 with penalties 0, 0.0001 and 0.1 (2,000 steps), and DOT raised the share of samples on a mode from 0.53
to 0.82, 0.75 and lowered it to 0.24 with critic penalties 0.1, 1 and 10: a critic that may not be steep has no modes.
On those of table 1 the log loss was 0.265 after 1,500 steps of batch 128 and 0.169 after 10,000 of batch 256."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of both fine-tunings. ``held_out_rows``: real rows of each of the three held-out parts.

    ``penalty`` of the classifier's gradient, ``critic_penalty`` of the Wasserstein critic's. None is the default of
    the bundle's kind of samples.
    """

    steps: int | None = None
    critic_steps: int | None = None
    penalty: float | None = None
    critic_penalty: float | None = None
    batch: int | None = None
    lr: float | None = None
    ema_decay: float = 0.99
    held_out_rows: int = 4_000
    validate_every: int = 100
    patience: int = 10
    seed: int = 0


@dataclass(frozen=True)
class HeldOut:
    """Real training rows that no step sees, one part a purpose. Never the test split."""

    selection: torch.Tensor
    calibration: torch.Tensor
    check: torch.Tensor


def classifier_bundle(
    config: ClassifierConfig,
    source: Path,
    data: Dataset,
    out: Path,
    device: torch.device,
    on_step: Callable[[FinetuneRun], None] | None = None,
) -> Pilot:
    """Fine-tune the critic of the bundle ``source`` twice in folder ``out``, resuming from its checkpoints; the bundle
    with both networks and the constants measured on them is ``out / "bundle"``. Returns its pilot sections."""
    bundle = load_bundle(source, device)
    if "critic" not in bundle.networks:
        raise TrainingRefused(f"{source} has no critic to fine-tune; use the bundle of a GAN that was trained here")
    problem = problem_of(bundle, data, device)
    held_out, training = split(data, config.held_out_rows)
    out.mkdir(parents=True, exist_ok=True)
    score = held_out_log_loss(bundle, held_out.selection, config.seed + SELECTION_SEED)
    first, second = classifier_settings(config, bundle), critic_settings(config, bundle)
    classifier = finetune(first, problem, training, out / CLASSIFIER_CHECKPOINT, score, on_step)
    critic = finetune(second, problem, training, out / CRITIC_CHECKPOINT, on_step=on_step)
    bundle = with_network(bundle, "classifier", classifier.best)
    bundle = with_network(bundle, "wasserstein_critic", critic.best)
    bundle = with_shift_where_needed(with_constants(bundle, held_out, config.seed))
    save_bundle(out / "bundle", bundle.manifest, bundle.networks)
    record = {"settings": asdict(config), "held_out_log_loss": classifier.history}
    write_json(out / RECORD, record)
    return bundle.manifest.pilot


def split(data: Dataset, rows: int) -> tuple[HeldOut, Dataset]:
    """Held-out parts of ``rows`` each, an eighth of the data at most, and the rest; always the same cut."""
    rows = min(rows, len(data) // 8)
    if rows < LEAST_HELD_OUT:
        raise DataError(f"{data.name}: {len(data)} training rows; a classifier needs at least {8 * LEAST_HELD_OUT}")
    held, rest = fixed_split(data, HELD_OUT_PARTS * rows, SPLIT_SEED)
    return HeldOut(*held.samples.split(rows)), rest


def classifier_settings(config: ClassifierConfig, bundle: Bundle) -> FinetuneConfig:
    chosen = _chosen(config, bundle)
    return _settings(config, chosen, "cross-entropy", chosen.steps, chosen.penalty, config.seed)


def critic_settings(config: ClassifierConfig, bundle: Bundle) -> FinetuneConfig:
    chosen = _chosen(config, bundle)
    return _settings(
        config, chosen, "wasserstein", chosen.critic_steps, chosen.critic_penalty, config.seed + CRITIC_SEED
    )


def _chosen(config: ClassifierConfig, bundle: Bundle) -> KindSettings:
    """What ``config`` says, and for what it leaves open the defaults of the bundle's kind of samples."""
    defaults = DEFAULTS[bundle.manifest.output.kind]
    said = {field.name: getattr(config, field.name) for field in fields(defaults)}
    return replace(defaults, **{name: value for name, value in said.items() if value is not None})


def _settings(
    config: ClassifierConfig, chosen: KindSettings, loss: RatioLoss, steps: int, penalty: float, seed: int
) -> FinetuneConfig:
    return FinetuneConfig(
        loss=loss,
        steps=steps,
        penalty=penalty,
        batch=chosen.batch,
        lr=chosen.lr,
        ema_decay=config.ema_decay,
        validate_every=config.validate_every,
        patience=config.patience,
        seed=seed,
    )


def held_out_log_loss(bundle: Bundle, real: torch.Tensor, seed: int) -> Score:
    """Cross-entropy on ``real`` and as many fresh generated rows after the two-parameter calibration on the same.

    The gradient penalty fixes the scale of the raw scores and calibration undoes it: the raw loss would choose the
    scale, not the classifier.
    """
    device = next(bundle.generator.parameters()).device
    _, fake = generated(bundle, len(real), seed)

    def score(network: nn.Module) -> float:
        real_scores, fake_scores = (scores_of(network, part, device) for part in (real, fake))
        fit = fit_logistic(real_scores, fake_scores)
        return log_loss(fit.log_ratio(real_scores), fit.log_ratio(fake_scores))

    return score


def with_network(bundle: Bundle, role: NetworkRole, network: nn.Module) -> Bundle:
    """``bundle`` with a descendant of its critic in ``role``."""
    networks = bundle.manifest.networks
    manifest = bundle.manifest.model_copy(update={"networks": {**networks, role: networks["critic"]}})
    return replace(bundle, manifest=manifest, networks={**bundle.networks, role: network})


def with_shift_where_needed(bundle: Bundle) -> Bundle:
    """``bundle``, whose own default of drs is a shift where the plain rule accepts too little."""
    drs = bundle.manifest.pilot.drs
    assert drs is not None
    if drs.acceptance_rate >= LEAST_PLAIN_ACCEPTANCE:
        return bundle
    defaults = {"drs": {"shift": USUAL_SHIFT}, **bundle.manifest.defaults}
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"defaults": defaults}))


def with_constants(bundle: Bundle, held_out: HeldOut, seed: int) -> Bundle:
    """``bundle`` with the pilot sections of its classifier and Wasserstein critic; others are kept."""
    sections = bundle.manifest.pilot.model_copy(
        update={
            "classifier": measure_classifier(bundle, held_out.calibration, held_out.check, seed + CALIBRATION_SEED),
            "dot": measure_dot(bundle, seed + LIPSCHITZ_SEED),
        }
    )
    bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"pilot": sections}))
    sections = sections.model_copy(
        update={"drs": measure_drs(bundle, seed + BOUND_SEED), "mh": measure_mh(bundle, held_out.check)}
    )
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"pilot": sections}))
