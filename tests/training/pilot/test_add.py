"""Sections for a bundle on disk: what can be measured, from what, and what stays untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, load_bundle
from models.features import LeNetFeatures
from models.pilot import SimplicialPilot
from sampling.simplicial import regular_simplex
from tests.models import bundles
from tests.sampling.pilots import bundle_with
from training.data.dataset import DataError, Dataset
from training.errors import TrainingRefused
from training.pilot import jbt, simplicial
from training.pilot.add import add_pilot, measure_pilot
from training.pilot.latents import over_latents
from training.pilot.simplicial import classifier_of, fitted_seeds
from winnow.cli import main


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for function, rows in ((jbt.jbt_pilot, (200,)), (simplicial.simplicial_pilot, (2_000,))):
        monkeypatch.setattr(function, "__defaults__", rows)


def first_sign(samples: torch.Tensor) -> torch.Tensor:
    return (samples[:, 0] > 0).long()


class First(torch.nn.Linear):
    """x = z's first two coordinates."""

    def __init__(self) -> None:
        super().__init__(3, 2, bias=False)
        self.weight.data = torch.eye(2, 3)
        self.requires_grad_(False)


def test_fitted_seeds_are_the_mean_latents_of_the_classes(tmp_path: Path) -> None:
    """Of a normal latent cut at 0 along one axis: means -+ sqrt(2 / pi) there and 0 elsewhere."""
    seeds = fitted_seeds(bundle_with(tmp_path, First()), first_sign, seed=0)
    expected = torch.tensor([[-0.79788, 0, 0], [0.79788, 0, 0]])
    torch.testing.assert_close(seeds, expected, atol=4 / 10_000**0.5, rtol=0)


def test_the_quantiles_are_those_of_latents_that_the_seeds_were_not_fitted_to(tmp_path: Path) -> None:
    bundle, fitted, scored = bundle_with(tmp_path, First()), [], []

    def remember(samples: torch.Tensor) -> torch.Tensor:
        fitted.append(samples)
        return first_sign(samples)

    def score(latents: torch.Tensor) -> torch.Tensor:
        scored.append(latents[:, :2])
        return latents

    fitted_seeds(bundle, remember, seed=0)
    over_latents(bundle, score, 20_000, simplicial.BLOCK, seed=0)
    both = torch.cat([*fitted, *scored])
    assert len(both) == len(torch.unique(both, dim=0)) == 40_000


def test_a_class_of_a_few_rows_has_no_seed(tmp_path: Path) -> None:
    def rare(samples: torch.Tensor) -> torch.Tensor:
        return first_sign(samples) + 2 * (samples[:, 0] > 3.5).long()

    assert len(fitted_seeds(bundle_with(tmp_path, First()), rare, seed=0)) == 2


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(TrainingRefused, match="small makes samples of one class only"):
        fitted_seeds(bundle_with(tmp_path, First()), lambda x: torch.zeros(len(x), dtype=torch.long), seed=0)


def labelled() -> Dataset:
    return Dataset("two", torch.tensor([[-1.0, 0], [-3, 0], [1, 0], [3, 0]]), torch.tensor([0, 0, 5, 5]))


def test_points_are_told_apart_by_the_nearest_class_mean(tmp_path: Path) -> None:
    classify = classifier_of(bundle_with(tmp_path), labelled())
    assert classify is not None
    assert classify(torch.tensor([[-0.1, 9.0], [0.1, 9.0], [-5.0, 0.0]])).tolist() == [0, 1, 0]


def test_a_feature_classifier_is_preferred_to_data(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path)
    torch.manual_seed(0)
    bundle.networks["features"] = network = LeNetFeatures().eval()
    classify, images = classifier_of(bundle, labelled()), torch.randn(4, 1, 28, 28)
    assert classify is not None and torch.equal(classify(images), network.logits(images).argmax(1))


def test_what_cannot_be_measured_is_named_with_its_reason(tmp_path: Path) -> None:
    sections, reasons = measure_pilot(bundle_with(tmp_path), seed=0)
    assert (
        set(sections) == {"jbt"} and "needs a network 'features', or for points labelled data" in reasons["simplicial"]
    )
    sections, reasons = measure_pilot(bundle_with(tmp_path / "two"), 0, labelled())
    assert set(sections) == {"jbt", "simplicial"} and not reasons


def test_data_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bare: classes are read off labelled data"):
        measure_pilot(bundle_with(tmp_path), 0, Dataset("bare", torch.zeros(4, 2)))


def test_a_section_is_added_beside_the_others_and_the_networks_stay_as_they_are(tmp_path: Path) -> None:
    folder = bundles.write(tmp_path / "small")
    before = load_bundle(folder)
    sections, _ = measure_pilot(before, 0, labelled())
    add_pilot(folder, {"jbt": sections["jbt"]})
    add_pilot(folder, {"simplicial": sections["simplicial"]})
    after = load_bundle(folder)
    assert after.manifest.pilot.jbt == sections["jbt"]
    assert after.manifest.pilot.simplicial == sections["simplicial"]
    assert after.manifest.networks == before.manifest.networks
    assert after.manifest.model_copy(update={"pilot": before.manifest.pilot}) == before.manifest


def spoilt(bundle: Bundle, **changes: object) -> SimplicialPilot:
    section = simplicial.simplicial_pilot(bundle, regular_simplex(4, 3), "regular", 0)
    return section.model_copy(update=changes)


def test_seeds_of_another_dimension_are_refused_when_the_bundle_loads(tmp_path: Path) -> None:
    folder = bundles.write(tmp_path / "small")
    add_pilot(folder, {"simplicial": spoilt(load_bundle(folder), seeds=((1.0, 0.0), (0.0, 1.0)))})
    with pytest.raises(ValueError, match="the pilot's simplicial seeds have dimension 2, the prior 3"):
        load_bundle(folder)


def test_the_command_measures_and_says_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundles.write(tmp_path / "small")
    command = ["train", "pilot", "--bundle", str(folder), "--device", "cpu"]
    assert main(command) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "jbt: measured" and second.startswith("simplicial: left as it was, it needs a network 'features'")
    np.savez(tmp_path / "two.npz", train_points=labelled().samples.numpy(), train_labels=np.array([0, 0, 1, 1]),
             test_points=np.zeros((4, 2), np.float32))  # fmt: skip
    assert main([*command, "--data", str(tmp_path / "two.npz"), "--seed", "7"]) == 0
    assert capsys.readouterr().out == "jbt: measured\nsimplicial: measured\n"
    pilot = load_bundle(folder).manifest.pilot
    assert pilot.jbt is not None and pilot.simplicial is not None and pilot.jbt.seed == pilot.simplicial.seed == 7
