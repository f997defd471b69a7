"""Readers of data files: what was written comes back, and a broken file is refused in one sentence."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.data.files import colour_images, grey_images, idx_bytes, write_idx_folder, write_images
from training.data.dataset import DataError
from training.data.files import idx_folder, image_folder, is_idx_folder, npz_file, read_idx

Damage = Callable[[bytes], bytes]


def refusal(path: Path, reader: Callable[..., object], *arguments: str) -> str:
    """The message that reading ``path`` ends in: one line that names the file."""
    with pytest.raises(DataError) as caught:
        reader(path, *arguments)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


# IDX


@pytest.mark.parametrize("compress", [True, False])
def test_an_idx_folder_comes_back_as_it_was_written(tmp_path: Path, compress: bool) -> None:
    written = write_idx_folder(tmp_path, compress)
    assert is_idx_folder(tmp_path)
    for split, stem in (("train", "train"), ("test", "t10k")):
        data = idx_folder(tmp_path, "small", split)
        images, labels = written[stem]
        assert data.name == "small" and data.samples.dtype == torch.uint8
        np.testing.assert_array_equal(data.samples[:, 0].numpy(), images)
        assert data.labels is not None and data.labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda raw: raw[:-1], "truncated or its header [5, 6, 6] is wrong; get it again"),
        (lambda raw: raw + b"\0", "truncated or its header"),
        (lambda raw: raw[:9], "truncated or its header"),
        (lambda raw: raw[:2] + bytes([0x08, 0]), "truncated or its header"),
        (lambda raw: b"\x89PNG" + raw[4:], "must start with two zero bytes"),
        (lambda raw: raw[:2] + b"\x0d" + raw[3:], "IDX type 0x0d; only unsigned bytes"),
        (lambda raw: b"", "not an IDX file"),
        (lambda raw: raw[:4] + b"\xff" * 12 + raw[16:], "truncated or its header"),
    ],
)
def test_a_broken_idx_file_is_refused(tmp_path: Path, damage: Damage, sentence: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(idx_bytes(grey_images(5))))
    assert sentence in refusal(path, read_idx)


def damaged_deflate(raw: bytes) -> bytes:
    packed = bytearray(gzip.compress(raw))
    packed[10:14] = b"\xff\xff\xff\xff"  # right after the header, where the deflate stream begins
    return bytes(packed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"not gzip at all",
        lambda raw: gzip.compress(raw)[:-20],
        lambda raw: gzip.compress(raw)[:-8] + bytes(8),
        damaged_deflate,
    ],
    ids=["garbage", "truncated", "wrong checksum", "damaged stream"],
)
def test_a_broken_gzip_is_refused(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(idx_bytes(grey_images(5))))
    assert "cannot be read" in refusal(path, read_idx)


def test_a_missing_idx_file_is_named(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert "t10k-labels-idx1-ubyte.gz is missing" in refusal(tmp_path, idx_folder, "small", "test")


def test_labels_of_another_number_than_images_are_refused(tmp_path: Path) -> None:
    write_idx_folder(tmp_path, compress=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match=r"small: 5 samples but labels \[4\]"):
        idx_folder(tmp_path, "small", "train")


# npz


def test_an_npz_with_splits_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    train, test = colour_images(4), colour_images(3, seed=1)
    np.savez_compressed(path, train_images=train, train_labels=np.arange(4), test_images=test)
    data = npz_file(path, "train")
    assert data.name == "mine" and data.labels is not None and data.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(data.samples.permute(0, 2, 3, 1).numpy(), train)
    held_out = npz_file(path, "test")
    assert held_out.labels is None and len(held_out) == 3


def test_points_of_an_npz_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "cloud.npz"
    points = np.random.default_rng(0).normal(size=(7, 3))
    np.savez(path, train_points=points, train_labels=np.zeros(7, np.uint8))
    data = npz_file(path, "train")
    assert data.is_points and data.samples.dtype == torch.float32
    np.testing.assert_allclose(data.samples.numpy(), points.astype(np.float32))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"pictures": np.zeros((2, 2), np.uint8)},
            r"holds \['pictures'\], but no images or points, nor train_images and test_images",
        ),
        ({"images": np.zeros((3, 4, 4))}, "must be uint8 with values 0-255, not float64"),
        ({"images": np.zeros((3, 4, 4, 2), np.uint8)}, r"\[n, h, w\] or \[n, h, w, 1 or 3\], not \[3, 4, 4, 2\]"),
        ({"images": np.zeros((1, 4, 4), np.uint8)}, r"1 sample\(s\); at least 2"),
        ({"images": np.zeros((3, 0, 4), np.uint8)}, "hold no values"),
        ({"points": np.zeros((3, 2, 2))}, r"must be numbers \[n, dim\], not float64 \[3, 2, 2\]"),
        ({"points": np.array([["a", "b"], ["c", "d"]])}, r"must be numbers \[n, dim\], not <U1"),
        ({"points": np.array([[0.0, 1.0], [np.nan, 1.0]])}, "NaN or infinite values; remove them first"),
        ({"points": np.array([[0.0, 1.0], [np.inf, 1.0]])}, "NaN or infinite values; remove them first"),
        ({"points": np.zeros((3, 2)), "labels": np.zeros(2, int)}, r"3 samples but labels \[2\]"),
        ({"points": np.zeros((3, 2)), "labels": np.zeros((3, 2), int)}, r"3 samples but labels \[3, 2\]"),
        ({"points": np.zeros((3, 2)), "labels": np.array(["a", "b", "c"])}, "must be integers, not <U1; number"),
        ({"points": np.zeros((3, 2)), "labels": np.array([0.5, 1, 2])}, "must be integers, not float64; number"),
        ({"points": np.zeros((3, 2)), "labels": np.array([0, -1, 2])}, "the label -1 is negative; number"),
    ],
)
def test_an_npz_of_the_wrong_content_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=f"mine.*{sentence}"):
        npz_file(path, "train")


def test_a_pickled_array_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    opened = tmp_path / "opened"
    np.savez(path, images=np.array([_Trap(opened)], dtype=object))
    assert "not a readable .npz archive" in refusal(path, npz_file, "train")
    assert not opened.exists()


class _Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def good_npz(path: Path) -> bytes:
    np.savez_compressed(path, images=grey_images(5))
    return path.read_bytes()


def patched(raw: bytes, at: int, value: bytes) -> bytes:
    return raw[:at] + value + raw[at + len(value) :]


def in_deflate_stream(raw: bytes) -> bytes:
    """The first member's data begin after the local header: 30 bytes, the name, the extra field."""
    name, extra = int.from_bytes(raw[26:28], "little"), int.from_bytes(raw[28:30], "little")
    return patched(raw, 30 + name + extra, b"\xff\xff\xff\xff")


def with_unknown_compression(raw: bytes) -> bytes:
    """Bytes 10 and 11 of the central directory's entry name the method."""
    return patched(patched(raw, raw.index(b"PK\1\2") + 10, b"\x63\0"), 8, b"\x63\0")


@pytest.mark.parametrize(
    "damage",
    [lambda raw: b"garbage", lambda raw: b"", lambda raw: raw[:-30], in_deflate_stream, with_unknown_compression],
    ids=["garbage", "empty", "truncated", "damaged stream", "unknown compression"],
)
def test_a_broken_npz_is_refused(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(damage(good_npz(path)))
    assert "not a readable .npz archive" in refusal(path, npz_file, "train")


def test_an_npy_renamed_to_npz_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", grey_images(3))
    path = (tmp_path / "mine.npy").rename(tmp_path / "mine.npz")
    assert "single .npy array; save it with np.savez" in refusal(path, npz_file, "train")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images", "hello")
    assert "images is not a numpy array; make the archive with np.savez" in refusal(path, npz_file, "train")


# Folders of images


@pytest.mark.parametrize("images", [grey_images(3), colour_images(3)], ids=["grey", "colour"])
def test_a_folder_of_images_comes_back_as_it_was_written(tmp_path: Path, images: np.ndarray) -> None:
    write_images(tmp_path / "set", images)
    data = image_folder(tmp_path / "set")
    assert data.name == "set" and data.labels is None
    channels_last = data.samples.permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(channels_last.reshape(images.shape), images)


def test_sub_folders_become_labels(tmp_path: Path) -> None:
    write_images(tmp_path / "shirts", grey_images(2))
    write_images(tmp_path / "bags", grey_images(1, seed=1))
    data = image_folder(tmp_path)
    assert data.labels is not None and data.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(data.samples[0, 0].numpy(), grey_images(1, seed=1)[0])


def test_other_files_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    write_images(tmp_path, grey_images(2))
    (tmp_path / "notes.txt").write_text("not an image")
    assert len(image_folder(tmp_path)) == 2


def test_a_folder_needs_two_images(tmp_path: Path) -> None:
    assert "found 0 image(s)" in refusal(tmp_path, image_folder)
    write_images(tmp_path, grey_images(1))
    assert "found 1 image(s) (.png, .jpg, .jpeg, .webp, .bmp); at least 2" in refusal(tmp_path, image_folder)


def test_mixed_sizes_and_modes_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, grey_images(2))
    Image.new("L", (7, 5)).save(tmp_path / "zz.png")
    assert "7x5 grey, but 000.png is 6x6 grey; bring all" in refusal(
        tmp_path / "zz.png", lambda p: image_folder(p.parent)
    )
    Image.new("RGB", (6, 6)).save(tmp_path / "zz.png")
    assert "6x6 colour, but 000.png is 6x6 grey" in refusal(tmp_path / "zz.png", lambda p: image_folder(p.parent))


@pytest.mark.parametrize("damage", [lambda raw: b"garbage", lambda raw: raw[: len(raw) // 2], lambda raw: raw[:20]])
def test_a_corrupt_png_is_named(tmp_path: Path, damage: Damage) -> None:
    write_images(tmp_path, colour_images(3))
    path = tmp_path / "001.png"
    path.write_bytes(damage(path.read_bytes()))
    assert "not a readable image" in refusal(path, lambda p: image_folder(p.parent))
