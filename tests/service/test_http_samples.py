"""What POST and GET /sample answer when all is well."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampling.methods import METHODS


def arrays(answer: Any) -> dict[str, np.ndarray]:
    assert answer.status_code == 200, answer.text
    with np.load(BytesIO(answer.content), allow_pickle=False) as archive:
        return dict(archive)


def test_one_sample_is_one_png_by_default(api: Any) -> None:
    answer = api.post("/sample")
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(answer.content)).size == (28, 28)
    assert answer.headers["sample-count"] == "1"
    assert answer.headers["sample-method"] == "latentrs"
    assert answer.headers["sample-model"] == "images"


def test_ten_samples_are_a_near_square_sheet_with_gaps(api: Any) -> None:
    sheet = Image.open(BytesIO(api.post("/sample?n=10").content))
    assert sheet.size == (4 * 30 - 2, 3 * 30 - 2)


def test_points_are_drawn_as_a_scatter_plot(api: Any) -> None:
    plot = Image.open(BytesIO(api.post("/sample?n=500&model=points").content))
    assert plot.size == (480, 480)
    assert len(plot.getcolors(100_000) or []) > 2


def test_npz_holds_images_latents_and_weights(api: Any) -> None:
    found = arrays(api.post("/sample?n=5&format=npz"))
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "images": ("uint8", (5, 28, 28, 1)),
        "latents": ("float32", (5, 16)),
        "weights": ("float32", (5,)),
    }


def test_npz_of_a_model_without_weights_holds_points_and_latents_only(api: Any) -> None:
    found = arrays(api.post("/sample?n=5&format=npz&model=plain"))
    assert {name: array.shape for name, array in found.items()} == {"points": (5, 2), "latents": (5, 2)}


def test_json_decodes_nothing_unless_images_are_asked_for(api: Any) -> None:
    document = api.post("/sample?n=3&format=json&seed=4").json()
    assert "images" not in document
    assert api.metric("winnow_decoded_rows_total", model="images") == 0
    with_images = api.post("/sample?n=3&format=json&seed=4&images=true").json()
    assert with_images["latents"] == document["latents"]
    pictures = [Image.open(BytesIO(base64.b64decode(item))).size for item in with_images["images"]]
    assert pictures == [(28, 28)] * 3


def test_json_numbers_bring_every_float32_back_exactly(api: Any) -> None:
    document = json.loads(api.post("/sample?n=20&format=json&seed=4").content)
    exact = arrays(api.post("/sample?n=20&format=npz&seed=4"))
    assert np.array_equal(np.array(document["latents"], np.float32), exact["latents"])
    assert np.array_equal(np.array(document["weights"], np.float32), exact["weights"])


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "image/png"),
        ("text/html,image/avif,*/*;q=0.8", "image/png"),
        ("application/json", "application/json"),
        ("image/png;q=0.5, application/x-npz", "application/x-npz"),
        ("image/*, application/json;q=0.9", "image/png"),
        ("application/json;q=0, */*", "image/png"),
    ],
)
def test_accept_chooses_the_format(api: Any, accept: str, media_type: str) -> None:
    assert api.post("/sample", headers={"Accept": accept}).headers["content-type"] == media_type


def test_format_beats_accept(api: Any) -> None:
    answer = api.post("/sample?format=json", headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "application/json"


def test_the_content_type_of_an_empty_body_is_ignored(api: Any) -> None:
    assert api.post("/sample", headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code == 200


def test_prior_keeps_every_proposal(api: Any) -> None:
    headers = api.post("/sample?method=prior&n=7").headers
    assert (headers["sample-proposals"], headers["sample-acceptance-rate"]) == ("7", "1")


def test_an_unseeded_answer_claims_no_seed_and_is_never_stored(api: Any) -> None:
    answer = api.get("/sample?n=3")
    assert answer.headers["cache-control"] == "no-store"
    assert "sample-seed" not in answer.headers
    assert "etag" not in answer.headers


def test_unseeded_answers_never_share_a_latent(api: Any) -> None:
    answers = api.together([("POST", "/sample?n=40&format=npz")] * 6)
    latents = np.concatenate([arrays(answer)["latents"] for answer in answers])
    assert len(np.unique(latents, axis=0)) == 240


def test_a_seeded_get_has_a_strong_etag_and_a_fresh_copy_costs_no_work(api: Any) -> None:
    first = api.get("/sample?n=3&seed=5")
    assert first.headers["etag"].startswith('"')
    assert first.headers["sample-seed"] == "5"
    before = api.metric("winnow_decoded_rows_total", model="images")
    again = api.get("/sample?n=3&seed=5", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert api.metric("winnow_decoded_rows_total", model="images") == before
    assert api.metric("winnow_requests_total", method="latentrs", outcome="not_modified") == 1


def test_whatever_changes_the_bytes_changes_the_etag(api: Any) -> None:
    paths = ["seed=5", "seed=6", "seed=5&n=2", "seed=5&method=prior", "seed=5&format=json", "seed=5&model=points"]
    tags = {api.get(f"/sample?{path}").headers["etag"] for path in [*paths, "seed=5&format=json&images=true"]}
    assert len(tags) == 7


def test_a_sane_request_id_is_echoed_and_an_insane_one_replaced(api: Any) -> None:
    assert api.post("/sample", headers={"X-Request-ID": "abc-123"}).headers["x-request-id"] == "abc-123"
    for insane in ("a b", "x" * 129, ""):
        given = api.post("/sample", headers={"X-Request-ID": insane}).headers["x-request-id"]
        assert given != insane
        assert len(given) == 32


def test_server_timing_names_the_stages(api: Any) -> None:
    timing = api.post("/sample").headers["server-timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == ["queue", "propose", "decode", "encode", "total"]
    assert api.get("/livez").headers["server-timing"].startswith("total;dur=")


def test_openapi_lists_the_contract(api: Any) -> None:
    document = api.get("/openapi.json").json()
    for verb in ("get", "post"):
        operation = document["paths"]["/sample"][verb]
        names = [parameter["name"] for parameter in operation["parameters"]]
        assert names[:8] == ["method", "n", "model", "seed", "offset", "timeout", "format", "images"]
        assert set(names[8:]) == {name for method in METHODS.values() for name in method.parameters.model_fields}
        of_the_route, of_the_edge = "200 404 406 415 422 500 503 504", "400 401 408 414 429 431"
        assert set(operation["responses"]) == set(f"{of_the_route} {of_the_edge}".split())
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize("query", ["seed=1&offset=4611686018427387904", "seed=1&offset=-1", "offset=3"])
def test_an_offset_that_is_none_is_refused(api: Any, query: str) -> None:
    answer = api.post(f"/sample?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "offset")


def test_the_last_offset_is_served(api: Any) -> None:
    assert api.post(f"/sample?seed=1&offset={2**62 - 1}&n=3").status_code == 200
