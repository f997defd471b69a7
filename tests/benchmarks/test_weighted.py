"""benchmarks.weighted: one set of latents, weighted; flat weights change nothing, good ones much, intervals cover."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import weighted
from benchmarks.weighted import GROUPS, decoded_ratio, fids, guessed, jackknife, main, sharpness
from models.bundle import BundleError, load_bundle, save_bundle
from models.importance import ImportanceNetwork
from tests.training.evaluation.constructed import bundle_around
from training.data.dataset import Dataset
from training.metrics.fid import fid
from training.weights.problem import Pool

BUNDLE = Path(__file__).parents[2] / "bundles" / "gaussians-25"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """The embedded bundle with w = 1."""
    bundle = load_bundle(BUNDLE)
    networks = {**bundle.networks, "importance": ImportanceNetwork(bundle.prior.dim, (4,))}
    specs = dict(bundle.manifest.networks)
    specs["importance"] = specs["importance"].model_copy(update={"config": {"latent_dim": 2, "hidden": [4]}})
    save_bundle(tmp_path / "flat" / "bundle", bundle.manifest.model_copy(update={"networks": specs}), networks)
    return tmp_path / "flat" / "bundle"


def test_shipped_weights_gain_and_flat_ones_do_not(
    flat: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weighted, "ENERGY_ROWS", 2_000)
    main([str(BUNDLE), str(flat), "--data", "gaussians-25", "--rows", "4000"])
    shipped, nothing, decoded = capsys.readouterr().out.splitlines()[-3:]
    assert nothing.startswith("| flat | ")
    change, beside, energy = nothing.replace("-0 ", "+0 ").split(" | ")[-3:]
    assert (change, energy) == ("+0 ± 0%", "+0 ± 0% |") and beside != change
    assert shipped.split(" | ")[-2].lstrip("+-") == "0 ± 0%"
    assert shipped.startswith("| gaussians-25 | ")
    assert int(shipped.split(" | ")[-1].split(" ± ")[0]) < -50
    assert decoded.startswith("| decoded ratio | ")


def test_the_decoded_ratio_weighs_by_the_sample_not_by_its_latent() -> None:
    """A generator twice as wide as the data, with flat weights: samples far out get little."""
    torch.manual_seed(0)
    bundle = bundle_around(Twice(), dim=2, latent_dim=2)
    rest = Dataset("normal", torch.randn(8_000, 2, generator=torch.Generator().manual_seed(1)))
    samples = 2 * torch.randn(8_000, 2, generator=torch.Generator().manual_seed(2))
    weights = decoded_ratio(bundle, rest, Pool(torch.zeros(8_000, 2), samples), seed=0)
    far = samples.norm(dim=1) > 3
    assert float(weights.mean()) == pytest.approx(1.0, abs=0.1)
    assert float(weights[far].mean()) < 0.1 and float(weights[~far].mean()) > 1.2


class Twice(torch.nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 2, bias=False)
        self.weight.data = 2 * torch.eye(2)
        self.requires_grad_(False)


def test_what_is_guessed_of_the_ratio_is_nothing_for_flat_weights_and_all_for_itself() -> None:
    ratio = torch.tensor([0.0, 1.0, 2.0])
    assert guessed(ratio, ratio) == guessed(5 * ratio, ratio) == pytest.approx(1)
    assert guessed(torch.ones(3), ratio) == pytest.approx(0)
    assert guessed(ratio.flip(0), ratio) < 0
    assert sharpness(torch.full((3,), 2.0)) == pytest.approx(1)
    assert sharpness(ratio) == pytest.approx(5 / 3)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    rows = torch.randn(5_000, generator=torch.Generator().manual_seed(0)).double()
    groups = torch.arange(len(rows)) % GROUPS
    found = jackknife(torch.stack([rows[groups != group].mean() for group in range(-1, GROUPS)]))
    assert found.mean == pytest.approx(float(rows.mean()))
    deviation = 2.57 / len(rows) ** 0.5  # 97% of Student with nine degrees of freedom
    assert 0.5 * deviation < found.half_width < 2 * deviation


def test_weights_that_undo_a_shift_take_the_fid_away() -> None:
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(4_000, 2, generator=generator)
    junk = torch.cat([torch.randn(4_000, 2, generator=generator), 5 + torch.randn(1_000, 2, generator=generator)])
    fake = junk[torch.randperm(len(junk), generator=generator)]
    plain, good, flat = fids(real, fake, [torch.ones(5_000), (fake.sum(1) < 5).float(), torch.full((5_000,), 2.0)]).T
    change = jackknife((good - plain) / plain)
    assert change.mean + change.half_width < -0.9
    assert torch.allclose(flat, plain)
    assert plain[0] == pytest.approx(fid(real, fake))


def test_another_generator_is_refused(flat: Path) -> None:
    bundle = load_bundle(flat)
    with torch.no_grad():
        next(bundle.generator.parameters()).add_(1.0)
    save_bundle(flat, bundle.manifest, bundle.networks)
    with pytest.raises(SystemExit, match="another generator than the first bundle's"):
        main([str(BUNDLE), str(flat), "--data", "gaussians-25", "--rows", "100"])


def test_a_bundle_without_weights_is_refused(flat: Path) -> None:
    bundle = load_bundle(flat)
    names = {name: network for name, network in bundle.networks.items() if name != "importance"}
    specs = {name: spec for name, spec in bundle.manifest.networks.items() if name != "importance"}
    manifest = bundle.manifest.model_copy(update={"networks": specs, "importance": None, "calibration": None})
    save_bundle(flat, manifest, names)
    with pytest.raises(BundleError, match="no importance"):
        main([str(flat), "--data", "gaussians-25", "--rows", "100"])
