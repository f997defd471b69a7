"""What a file of each format holds, read back by the libraries that everybody reads it with."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from service.engine.encoders.formats import FORMATS, pieces
from service.engine.encoders.numbers import each
from service.engine.encoders.pictures import write_jpeg, write_webp
from service.engine.encoders.png import write_png, write_pngs
from service.engine.encoders.sheet import contact_sheet, most_on_a_sheet
from service.engine.encoders.versions import LIBRARIES, encoder_facts
from service.engine.encoders.zip_entries import ZipEntries
from service.engine.rows import Samples

ROOT = Path(__file__).parents[2]


def samples(n: int = 5, shape: tuple[int, ...] = (6, 7, 3), seed: int | None = 1, weights: bool = True) -> Samples:
    random = np.random.default_rng(0)
    drawn = random.normal(size=(n, *shape)).astype(np.float32)
    return Samples(
        model="m", latents=random.normal(size=(n, 4)).astype(np.float32),
        weights=random.random(n, np.float32) if weights else None,
        rows=drawn if len(shape) == 1 else (drawn * 60 + 128).clip(0, 255).astype(np.uint8),
        fingerprint="f" * 16, stages={"decode": 0.5}, method="latentrs", seed=seed, proposals=3 * n,
        acceptance_rate=1 / 3, expected_acceptance=0.3,
    )  # fmt: skip


def written(name: str, rows: Samples) -> bytes:
    return b"".join(pieces(FORMATS[name], rows))


def pixels(file: bytes) -> np.ndarray:
    found = np.asarray(Image.open(BytesIO(file)))
    return found[:, :, None] if found.ndim == 2 else found


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
        elements=st.integers(0, 255),
    )
)
def test_png_brings_every_pixel_back(images: np.ndarray) -> None:
    for image, file in zip(images, write_pngs(images), strict=True):
        assert np.array_equal(pixels(file), image)
        assert file == write_png(image)


def test_png_of_a_large_picture_and_of_a_view_is_exact() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    for image in (picture, picture[::2, ::-3], picture[:, :, ::-1]):
        assert np.array_equal(pixels(write_png(image)), image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("write", "error"), [(write_jpeg, 3), (write_webp, 6)])
def test_jpeg_and_webp_are_near_the_pixels(write: Callable[..., bytes], error: float, channels: int) -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 30))
    picture = (255 * np.stack([x, y, x * y], axis=2)[:, :, :channels]).astype(np.uint8)
    found = pixels(write(picture))
    assert found.shape[:2] == (30, 40)
    assert np.abs(found.astype(float)[:, :, :channels] - picture).mean() < error


def test_lossy_colours_are_not_swapped() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 200
    for write in (write_jpeg, write_webp):
        assert pixels(write(red)).mean(axis=(0, 1)) == pytest.approx([200, 0, 0], abs=8)


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_a_picture_shows_one_image_or_a_sheet_or_a_scatter_plot(name: str) -> None:
    def size(rows: Samples) -> tuple[str | None, tuple[int, int]]:
        picture = Image.open(BytesIO(written(name, rows)))
        return picture.format, picture.size

    kind = name.upper()
    assert size(samples(1)) == (kind, (7, 6))
    assert size(samples(5)) == (kind, (3 * 9 - 2, 2 * 8 - 2))
    assert size(samples(5, (2,))) == (kind, (480, 480))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(100, 20_000), st.integers(1, 200))
def test_a_sheet_within_its_cap_has_the_bytes_and_sides_it_may_have(
    height: int, width: int, channels: int, size: int, side: int
) -> None:
    most = most_on_a_sheet((height, width, channels), size, side)
    assert (most == 0) == (max(height, width) > side)
    if most:
        sheet = contact_sheet(np.zeros((most, height, width, channels), np.uint8))
        assert max(sheet.shape[:2]) <= side
    if most > 1:
        # The last row of a sheet may be empty in part, and then it is a little larger than its images.
        assert sheet.nbytes <= size * (1 + 1 / most**0.5) ** 2


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=FINITE))
def test_numbers_as_text_bring_every_float32_back(values: np.ndarray) -> None:
    for texts, expected in ((each(values), values), (each(values[:, 0]), values[:, 0])):
        assert len(texts) == len(expected)
        found = np.array([json.loads(text) for text in texts], np.float64).astype(np.float32)
        assert np.array_equal(found.view(np.uint32), np.ascontiguousarray(expected).view(np.uint32))


def test_npz_and_safetensors_hold_the_arrays_as_they_are() -> None:
    for rows in (samples(), samples(shape=(2,)), samples(weights=False)):
        assert rows.rows is not None
        expected = {"points" if rows.rows.ndim == 2 else "images": rows.rows, "latents": rows.latents}
        expected |= {} if rows.weights is None else {"weights": rows.weights}
        with np.load(BytesIO(written("npz", rows)), allow_pickle=False) as archive:
            from_npz = dict(archive)
        for found in (from_npz, safetensors.numpy.load(written("safetensors", rows))):
            assert found.keys() == expected.keys()
            assert all(found[name].dtype == values.dtype for name, values in expected.items())
            assert all(np.array_equal(found[name], values) for name, values in expected.items())


def test_safetensors_says_what_the_arrays_are(tmp_path: Path) -> None:
    (tmp_path / "s.safetensors").write_bytes(written("safetensors", samples()))
    with safetensors.safe_open(tmp_path / "s.safetensors", "numpy") as file:
        facts = json.loads(file.metadata()["winnow"])
    assert facts == {
        "model": "m", "method": "latentrs", "seed": 1, "offset": 0, "n": 5, "proposals": 15,
        "acceptance_rate": 1 / 3, "fingerprint": "f" * 16,
    }  # fmt: skip


def test_npy_is_byte_for_byte_what_numpy_would_save() -> None:
    for rows in (samples(), samples(shape=(2,)), samples(1, (1, 1, 1))):
        expected = BytesIO()
        assert rows.rows is not None
        np.save(expected, rows.rows)
        assert written("npy", rows) == expected.getvalue()


def test_zip_holds_numbered_images_and_a_manifest() -> None:
    rows = samples(3)
    assert rows.rows is not None and rows.weights is not None
    with ZipFile(BytesIO(written("zip", rows))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["000000.png", "000001.png", "000002.png", "manifest.json"]
        for name, image in zip(archive.namelist(), rows.rows, strict=False):
            assert np.array_equal(pixels(archive.read(name)), image)
        manifest = json.loads(archive.read("manifest.json"))
        assert {(entry.compress_type, entry.date_time) for entry in archive.filelist} == {
            (ZIP_STORED, (1980, 1, 1, 0, 0, 0))
        }
    assert [image["name"] for image in manifest["images"]] == archive.namelist()[:3]
    assert np.array_equal(np.array([i["weight"] for i in manifest["images"]], np.float32), rows.weights)
    assert (manifest["proposals"], manifest["fingerprint"], manifest["seed"]) == (9, "f" * 16, 1)


def test_zip_of_a_model_without_weights_says_null() -> None:
    with ZipFile(BytesIO(written("zip", samples(2, weights=False)))) as archive:
        assert [i["weight"] for i in json.loads(archive.read("manifest.json"))["images"]] == [None, None]


def test_each_zip_entry_can_be_read_before_what_comes_after_it() -> None:
    body = written("zip", samples(3))
    for _ in range(4):
        flags, method = (int.from_bytes(body[start : start + 2], "little") for start in (6, 8))
        checksum, packed, size = (int.from_bytes(body[start : start + 4], "little") for start in (14, 18, 22))
        name, extra = (int.from_bytes(body[start : start + 2], "little") for start in (26, 28))
        data = body[30 + name + extra :][:size]
        assert (body[:4], flags, method, packed) == (b"PK\3\4", 0, 0, size)
        assert zlib.crc32(data) == checksum
        body = body[30 + name + extra + size :]


def test_zip_holds_more_entries_than_the_old_format_could() -> None:
    entries = ZipEntries()
    body = b"".join(entries.add(b"%d" % i, b"") for i in range(65_600)) + entries.finish()
    with ZipFile(BytesIO(body)) as archive:
        assert len(archive.filelist) == 65_600
        assert archive.namelist()[-1] == "65599"
    locator = body[-42:-22]
    record = body[int.from_bytes(locator[8:16], "little") :]
    assert (locator[:4], record[:4]) == (b"PK\6\7", b"PK\6\6")
    assert int.from_bytes(record[32:40], "little") == 65_600


@pytest.mark.parametrize("start", [2**32 - 100, 2**32 - 1, 2**32, 2**33])
def test_zip_grows_beyond_four_gibibytes(tmp_path: Path, start: int) -> None:
    """The file has a hole where the entries before ``start`` would be."""
    entries = ZipEntries()
    first = entries.add(b"first", b"1")
    entries.offset = start
    with (tmp_path / "a.zip").open("wb") as file:
        file.write(first)
        file.seek(start)
        file.write(entries.add(b"second", b"22") + entries.add(b"third", b"333") + entries.finish())
    with ZipFile(tmp_path / "a.zip") as archive:
        assert [archive.read(name) for name in ("first", "second", "third")] == [b"1", b"22", b"333"]


def test_ndjson_has_a_line_a_sample_and_ends_with_a_summary() -> None:
    rows = samples(3)
    assert rows.rows is not None and rows.weights is not None
    *lines, last = [json.loads(line) for line in written("ndjson", rows).splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2]
    assert np.array_equal(np.array([line["latent"] for line in lines], np.float32), rows.latents)
    assert np.array_equal(np.array([line["weight"] for line in lines], np.float32), rows.weights)
    assert np.array_equal([pixels(b64decode(line["image"])) for line in lines], rows.rows)
    assert last["summary"]["proposals"] == 9
    points = samples(2, (2,), weights=False)
    *lines, _ = [json.loads(line) for line in written("ndjson", points).splitlines()]
    assert np.array_equal(np.array([line["point"] for line in lines], np.float32), points.rows)
    assert [line["weight"] for line in lines] == [None, None]
    *lines, _ = [json.loads(line) for line in written("ndjson", replace(rows, rows=None)).splitlines()]
    assert all(line.keys() == {"index", "latent", "weight"} for line in lines)


def digests() -> dict[str, str]:
    return {name: hashlib.sha256(written(name, samples())).hexdigest() for name in FORMATS}


def test_the_same_samples_are_the_same_bytes_in_another_process() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import json, test_encoders; print(json.dumps(test_encoders.digests()))"],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
    ).stdout  # fmt: skip
    assert json.loads(found) == digests()


def test_the_facts_of_the_encoders_change_with_a_library_and_with_what_it_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = encoder_facts()
    assert facts.keys() == {*LIBRARIES, "probe"}
    monkeypatch.setattr("service.engine.encoders.versions.write_png", lambda picture: b"another processor")
    changed = encoder_facts.__wrapped__()
    assert {name for name in facts if facts[name] != changed[name]} == {"probe"}
