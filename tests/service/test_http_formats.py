"""Every format over HTTP: how it is asked for, what it holds, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_http_latents import npy, some
from test_http_problems import problem
from test_http_samples import arrays

from models.manifest import OutputSpec
from service.engine.encoders.formats import FORMATS, largest
from service.engine.encoders.limits import Limits
from service.http.negotiation import best_format
from service.settings import LimitSettings, Settings
from winnow.commands import sample as command

STREAMING = ("zip", "npy", "ndjson")


def images_in(fmt: str, answer: httpx.Response) -> np.ndarray:
    """The images that an answer holds, by whichever library reads its format."""
    assert answer.status_code == 200, answer.text
    if fmt == "npy":
        return np.load(BytesIO(answer.content), allow_pickle=False)
    if fmt == "safetensors":
        return safetensors.numpy.load(answer.content)["images"]
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        files = [archive.read(name) for name in archive.namelist() if name.endswith(".png")]
        return np.stack([np.asarray(Image.open(BytesIO(file)))[:, :, None] for file in files])


@pytest.mark.parametrize("how", ["format", "accept"])
@pytest.mark.parametrize(("name", "fmt"), FORMATS.items())
def test_every_format_can_be_asked_for_in_both_ways(api: Any, name: str, fmt: Any, how: str) -> None:
    asked = {"params": {"format": name}} if how == "format" else {"headers": {"Accept": fmt.media_type}}
    answer = api.post("/sample", **asked)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == fmt.media_type
    assert (answer.headers["sample-count"], answer.headers["sample-method"]) == ("1", "latentrs")


@pytest.mark.parametrize("n", [1, 5, 700])
@pytest.mark.parametrize("fmt", ["npy", "zip", "safetensors"])
def test_all_formats_hold_the_same_samples(api: Any, fmt: str, n: int) -> None:
    expected = arrays(api.post(f"/sample?n={n}&seed=3&format=npz"))["images"]
    assert np.array_equal(images_in(fmt, api.post(f"/sample?n={n}&seed=3&format={fmt}")), expected)


def test_a_zip_names_its_images_and_their_weights(api: Any) -> None:
    answer = api.post("/sample?n=700&seed=3&format=zip")
    with ZipFile(BytesIO(answer.content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    weights = arrays(api.post("/sample?n=700&seed=3&format=npz"))["weights"]
    assert np.array_equal(np.array([image["weight"] for image in manifest["images"]], np.float32), weights)
    assert manifest["images"][699]["name"] == "000699.png"
    assert (manifest["model"], manifest["method"], manifest["seed"], manifest["n"]) == ("images", "latentrs", 3, 700)
    assert manifest["fingerprint"] == answer.headers["sample-fingerprint"]
    assert manifest["proposals"] >= 700


def test_ndjson_is_json_a_line_and_decodes_only_on_request(api: Any) -> None:
    document = api.post("/sample?n=40&seed=3&format=json").json()
    *lines, last = map(json.loads, api.post("/sample?n=40&seed=3&format=ndjson").text.splitlines())
    assert api.metric("winnow_decoded_rows_total", model="images") == 0
    assert [line["latent"] for line in lines] == document["latents"]
    assert [line["weight"] for line in lines] == document["weights"]
    told = {name: value for name, value in document.items() if name not in ("latents", "weights")}
    assert last == {"summary": told}
    first = json.loads(api.post("/sample?n=2&seed=3&format=ndjson&images=true").text.splitlines()[0])
    assert first["image"] == api.post("/sample?n=2&seed=3&format=json&images=true").json()["images"][0]


def test_a_length_is_told_where_it_is_known_before_the_rows(api: Any) -> None:
    answer = api.post("/sample?n=50&format=npy")
    assert int(answer.headers["content-length"]) == len(answer.content) == 128 + 50 * 784
    assert "content-length" not in api.post("/sample?n=50&format=zip").headers


def test_what_a_stream_cannot_know_yet_is_not_in_its_headers(api: Any) -> None:
    for fmt in FORMATS:
        headers = api.post(f"/sample?n=2&seed=1&format={fmt}").headers
        assert ("sample-proposals" in headers) == (fmt not in STREAMING)
        assert ("sample-acceptance-rate" in headers) == (fmt not in STREAMING)
        assert headers["sample-seed"] == "1"


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_seeded_answer_is_the_same_bytes_every_time_and_has_an_etag_of_its_own(api: Any, fmt: str) -> None:
    first, again = (api.get(f"/sample?n=9&seed=5&format={fmt}") for _ in range(2))
    assert first.content == again.content
    tag = first.headers["etag"]
    assert api.get(f"/sample?n=9&seed=5&format={fmt}", headers={"If-None-Match": tag}).status_code == 304
    assert tag != api.get(f"/sample?n=9&seed=5&format={'npz' if fmt != 'npz' else 'npy'}").headers["etag"]


def test_another_encoder_is_another_etag(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = api.get("/sample?seed=5").headers["etag"]
    monkeypatch.setattr("service.http.conditional.encoder_facts", lambda: {"isal": "0"})
    assert api.get("/sample?seed=5").headers["etag"] != before


@pytest.mark.parametrize("fmt", FORMATS)
def test_latents_of_ones_own_come_back_in_every_format(api: Any, fmt: str) -> None:
    answer = api.post(f"/decode?format={fmt}", **npy(some(3)))
    assert (answer.status_code, answer.headers["content-type"]) == (200, FORMATS[fmt].media_type)
    if fmt in ("npy", "zip", "safetensors"):
        expected = arrays(api.post("/decode?format=npz", **npy(some(3))))["images"]
        assert np.array_equal(images_in(fmt, answer), expected)
    if fmt == "ndjson":
        *lines, last = map(json.loads, answer.text.splitlines())
        assert all(line["image"] and line["weight"] is None for line in lines)
        assert last["summary"].keys() == {"model", "n", "fingerprint"}


def test_points_have_no_zip_and_the_refusal_names_what_would_do(api: Any) -> None:
    for answer in (
        api.post("/sample?model=points&format=zip"),
        api.post("/decode?model=points&format=zip", json={"latents": [[0, 1]]}),
    ):
        found = problem(answer)
        assert found["code"] == "not_acceptable"
        assert found["detail"] == (
            "Zip holds images, and points makes points; png, jpeg, webp, npy, npz, safetensors, json, ndjson would do."
        )
    chosen = api.post("/sample?model=points", headers={"Accept": "application/zip, application/x-npy;q=0.1"})
    assert np.load(BytesIO(chosen.content)).shape == (1, 2)
    assert (
        "application/x-npy"
        in problem(api.post("/sample?model=points", headers={"Accept": "application/zip"}))["detail"]
    )
    listed = api.get("/models/points").json()["max_n"]
    assert "zip" not in listed and listed["npy"] == 100_000


@pytest.mark.parametrize("fmt", [fmt for fmt in FORMATS if fmt != "zip"])
def test_points_come_in_every_other_format(api: Any, fmt: str) -> None:
    assert api.post(f"/sample?model=points&n=3&format={fmt}").status_code == 200


@pytest.mark.parametrize(
    ("fmt", "setting"),
    [("png", "sheet_bytes"), ("jpeg", "sheet_rows"), ("webp", "sheet_bytes"), ("npz", "npz_bytes"),
     ("safetensors", "npz_bytes"), ("json", "json_bytes")],
)  # fmt: skip
def test_what_must_be_held_whole_has_a_cap_and_the_refusal_names_what_streams(
    serve: Callable[..., Any], fmt: str, setting: str
) -> None:
    api = serve(settings=Settings(limits=LimitSettings(**{setting: 7 if setting == "sheet_rows" else 20_000})))
    most = api.get("/models/images").json()["max_n"][fmt]
    assert 1 < most < 100
    assert api.post(f"/sample?n={most}&format={fmt}").status_code == 200
    found = problem(api.post(f"/sample?n={most + 1}&format={fmt}"))
    assert found["code"] == "too_many_samples"
    assert f"{fmt} holds at most {most} samples of images" in found["detail"]
    assert all(f"{name} up to 100000" in found["detail"] for name in STREAMING)


def test_a_sheet_of_large_images_is_capped_by_what_it_takes(api: Any) -> None:
    bundle = api.engine.model("images")
    large = OutputSpec(kind="image", shape=(3, 256, 256), range=(-1, 1))
    wide = OutputSpec(kind="image", shape=(3, 16, 20_000), range=(-1, 1))

    def most(fmt: str, output: OutputSpec) -> int:
        manifest = bundle.manifest.model_copy(update={"output": output})
        return largest(fmt, Holder(bundle.name, manifest, bundle.prior), Limits(), False)  # type: ignore[arg-type]

    assert most("png", large) == 64 * 2**20 // (258 * 258 * 3)
    assert (most("webp", wide), most("jpeg", wide)) == (0, 9)


class Holder:
    """As much of a bundle as decides what an answer may hold."""

    def __init__(self, name: str, manifest: Any, prior: Any) -> None:
        self.name, self.manifest, self.prior = name, manifest, prior


@pytest.mark.parametrize(
    ("channels", "refused"),
    [(1, []), (2, ["jpeg", "webp"]), (3, []), (4, ["jpeg"]), (5, ["png", "jpeg", "webp", "zip"])],
)
def test_a_format_refuses_channels_that_it_cannot_hold(api: Any, channels: int, refused: list[str]) -> None:
    bundle = api.engine.model("images")
    output = OutputSpec(kind="image", shape=(channels, 8, 8), range=(-1, 1))
    holder: Any = Holder("b", bundle.manifest.model_copy(update={"output": output}), bundle.prior)
    assert [name for name, fmt in FORMATS.items() if fmt.refusal(holder, False)] == refused
    with_images = [name for name, fmt in FORMATS.items() if fmt.refusal(holder, True)]
    assert with_images == refused + (["json", "ndjson"] if channels == 5 else [])


@given(st.text(st.sampled_from("*/,;=q.01 abcpngxjio+-"), max_size=40))
def test_no_accept_header_is_too_strange(accept: str) -> None:
    found = best_format(accept, FORMATS)
    assert found is None or found.name in FORMATS


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "png"),
        ("image/webp, image/png;q=0.9", "webp"),
        ("image/jpeg", "jpeg"),
        ("application/*", "zip"),
        ("application/*;q=0.2, application/x-npy;q=0.3", "npy"),
        ("application/zip;q=0, application/*", "npy"),
        ("text/html", None),
    ],
)
def test_accept_ranks_the_formats(accept: str, name: str | None) -> None:
    found = best_format(accept, FORMATS)
    assert (found and found.name) == name


def test_the_page_lists_every_format_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    table = page.split("## Formats")[1].split("\n## ")[0]
    listed = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| `")]
    rows = {name.strip("`"): (kind.strip("`"), how) for name, kind, _, how in listed}
    assert {name: kind for name, (kind, _) in rows.items()} == {name: fmt.media_type for name, fmt in FORMATS.items()}
    assert {name for name, (_, how) in rows.items() if how.startswith("streams")} == set(STREAMING)
    assert "(4,096)" in rows["png"][1] and Limits.sheet_rows == 4_096
    settings = {"png": "sheet_bytes", "npz": "npz_bytes", "safetensors": "npz_bytes", "json": "json_bytes"}
    for name, setting in settings.items():
        assert f"({getattr(Limits, setting) // 2**20} MiB)" in rows[name][1] and f"limits.{setting}" in rows[name][1]


def test_the_command_knows_the_formats_of_the_engine() -> None:
    assert tuple(FORMATS) == command.FORMATS
    assert {command.ENDINGS[name] for name in command.ENDINGS} == set(FORMATS)
