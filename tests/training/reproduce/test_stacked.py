"""Stacked MNIST: three digits as channels, counted as one number."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
import torch

from models.bundle import load_bundle, save_bundle
from models.features import ChannelFeatures
from models.generators.cnn28 import Cnn28Generator
from models.importance import ImportanceNetwork
from models.manifest import ImportanceSpec, Manifest, NetworkSpec, OutputSpec, PriorSpec
from training.data.dataset import Dataset
from training.data.synthetic import stacked
from training.evaluation.report import evaluate
from training.pipeline import NO_HASH
from training.reproduce import images, measure
from training.reproduce import stacked as table
from training.reproduce.options import Options


def test_modes_are_distinct_classes_and_the_divergence_is_from_equal_shares() -> None:
    assert table.modes_covered(torch.tensor([5, 5, 7])) == 2
    assert table.kl_to_uniform(torch.arange(1_000)) == pytest.approx(0, abs=1e-12)
    assert table.kl_to_uniform(torch.zeros(10, dtype=torch.int64)) == pytest.approx(log(1_000))
    assert table.kl_to_uniform(torch.arange(500)) == pytest.approx(log(2))


def stacked_bundle(folder: Path) -> Path:
    generator = Cnn28Generator(4, (4, 4, 4, 4), image_channels=3)
    importance = ImportanceNetwork(4, (4,))
    small = {"latent_dim": 4, "channels": [4, 4, 4, 4], "image_channels": 3}
    specs = {
        "generator": NetworkSpec(architecture="cnn28-generator", config=small, sha256=NO_HASH),
        "importance": NetworkSpec(architecture="importance-mlp", config=importance.config, sha256=NO_HASH),
        "features": NetworkSpec(architecture="channel-features", config={"body": "lenet"}, sha256=NO_HASH),
        "features_independent": NetworkSpec(
            architecture="channel-features", config={"body": "residual"}, sha256=NO_HASH
        ),
    }
    manifest = Manifest(
        name="stacked",
        version="1",
        licence="none",
        description="untrained.",
        prior=PriorSpec(kind="normal", dim=4),
        output=OutputSpec(kind="image", shape=(3, 28, 28), range=(-1.0, 1.0)),
        networks=specs,  # type: ignore[arg-type]
        importance=ImportanceSpec(head="bounded", cap=3.0, objective="none"),
    )
    networks = {
        "generator": generator,
        "importance": importance,
        "features": ChannelFeatures("lenet"),
        "features_independent": ChannelFeatures("residual").eval(),
    }
    save_bundle(folder, manifest, networks)  # type: ignore[arg-type]
    return folder


def stacked_noise(rows: int) -> Dataset:
    rng = torch.Generator().manual_seed(0)
    digits = torch.randint(0, 255, (rows, 1, 28, 28), generator=rng, dtype=torch.uint8)
    return stacked(Dataset("mnist", digits, torch.randint(10, (rows,), generator=rng)), rows, 0)


def test_a_report_tells_two_networks_of_one_architecture_apart(tmp_path: Path) -> None:
    bundle, data = load_bundle(stacked_bundle(tmp_path)), stacked_noise(200)
    report = evaluate(bundle, data, data.subset(torch.arange(60)), 0, torch.device("cpu"))
    assert [(space["name"], space["role"]) for space in report["spaces"]] == [
        ("channel-features-training", "training"),
        ("channel-features-independent", "independent"),
    ]
    first, second = (space["methods"]["latentrs"]["fid"]["mean"] for space in report["spaces"])
    assert first != second
    assert report["quoted_space"] == "channel-features-independent"


def test_the_table_is_made_on_a_given_bundle_and_says_what_the_bundle_cannot_do(
    tiny: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stacked_noise(400)
    for module in (images, table):
        monkeypatch.setattr(module, "load", lambda name, split: data)
    options = Options(tiny.keep, tiny.device, tiny.effort, bundle=stacked_bundle(tiny.keep / "bundle"), rows=120)
    text = table.regenerate(options)
    assert "### channel-features-independent (to be quoted)" in text
    assert "Not measured: drs (the bundle lacks " in text and "jbt (the bundle lacks " in text
    assert "FID, paper" in text and "| prior | 594.2 ± 8.2 |" in text.replace("594 ± 8 ", "594.2 ± 8.2 ")
    counted = [line for line in text.splitlines() if " of 1,000 | " in line]
    assert [line.split(" | ")[0] for line in counted] == [
        "| floor", "| prior", "| latentrs", "| latentga", "| latentrsga",
    ]  # fmt: skip
    monkeypatch.setattr(measure, "make", None)
    assert table.regenerate(options) == text
