"""A feature extractor of the user's: loaded, tried, and refused in one sentence where it cannot serve."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from training.data.dataset import Dataset
from training.extractor import load_extractor
from training.features import features_of
from training.pipeline import check_samples_are_features
from training.weights.problem import digest

CPU = torch.device("cpu")
DATA = Dataset("noise", torch.randint(256, (9, 3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8))


class Extracts(nn.Module):
    """[n, 3, 4, 4] -> [n, 5], or what the keyword makes of it."""

    def __init__(self, spoil: str = "") -> None:
        super().__init__()
        self.linear, self.spoil = nn.Linear(48, 5), spoil

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.linear(x.flatten(1))
        if self.spoil == "maps":
            return features[:, :, None]
        if self.spoil == "nan":
            return features.sub(1e9).sqrt()
        return features.mean(0, keepdim=True) if self.spoil == "pooled" else features


def exported(path: Path, spoil: str = "", fixed: bool = False, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    shapes = None if fixed else ({0: torch.export.Dim("n")},)
    program = torch.export.export(Extracts(spoil).eval(), (torch.zeros(4, 3, 4, 4),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def test_an_exported_network_gives_its_features(tmp_path: Path) -> None:
    path = exported(tmp_path / "net.pt2")
    extractor = load_extractor(path, DATA, CPU)
    torch.manual_seed(0)
    wanted = Extracts()(DATA.batch(torch.arange(9)))
    torch.testing.assert_close(features_of(extractor, DATA.samples, CPU), wanted.detach())


@pytest.mark.filterwarnings("ignore:.*jit.*is deprecated:DeprecationWarning")
def test_torchscript_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.jit.save(torch.jit.trace(Extracts().eval(), torch.zeros(2, 3, 4, 4)), path)  # type: ignore[no-untyped-call]
    assert features_of(load_extractor(path, DATA, CPU), DATA.samples, CPU).shape == (9, 5)


def test_another_file_has_another_digest(tmp_path: Path) -> None:
    one, other = exported(tmp_path / "one.pt2"), exported(tmp_path / "other.pt2", fixed=True)
    digests = {digest(load_extractor(one, DATA, CPU)), digest(load_extractor(one, DATA, CPU))}
    assert len(digests) == 1
    with pytest.raises(ValueError, match="dynamic batch size"):
        load_extractor(other, DATA, CPU)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("maps", "3 images gave [3, 5, 1], features must be [3, f]"),
        ("pooled", "3 images gave [1, 5], features must be [3, f]"),
        ("nan", "features hold NaN or infinity"),
    ],
)
def test_what_is_no_feature_matrix_is_refused(spoil: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:
        load_extractor(exported(tmp_path / "net.pt2", spoil), DATA, CPU)
    assert says in str(refused.value)


def test_a_network_for_other_images_is_refused(tmp_path: Path) -> None:
    grey = Dataset("grey", torch.zeros(5, 1, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"does not take images \[3, 1, 4, 4\]"):
        load_extractor(exported(tmp_path / "net.pt2"), grey, CPU)


@pytest.mark.parametrize("content", [None, b"", b"no archive", "cut"])
def test_a_missing_or_broken_file_is_refused_in_one_line(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    if content == "cut":
        whole = exported(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"no such file|is no exported network") as refused:
        load_extractor(path, DATA, CPU)
    assert "export it with torch.export" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("shape", "refuses"), [((3, 32, 32), True), ((1, 28, 28), False), ((2,), False)])
def test_larger_images_without_a_feature_network_are_told_what_to_give(shape: tuple[int, ...], refuses: bool) -> None:
    bundle = SimpleNamespace(name="faces", manifest=SimpleNamespace(output=SimpleNamespace(shape=shape)))
    if not refuses:
        check_samples_are_features(bundle)  # type: ignore[arg-type]
        return
    with pytest.raises(ValueError, match=r"no feature network: give --features PATH .* --spaces samples"):
        check_samples_are_features(bundle)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"or say --pixels to compare pixels"):
        check_samples_are_features(bundle, "--pixels")  # type: ignore[arg-type]
