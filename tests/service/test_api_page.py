"""docs/api.md names every error code and header there is, and no route that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from service.http.keys import parse_keys
from service.http.problems import CODES
from service.settings import known_names

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_error_code_is_on_the_page_under_its_status() -> None:
    for code, (status, _) in CODES.items():
        assert any(str(status) in line and f"`{code}`" in line for line in PAGE.splitlines()), code


def test_every_header_of_a_sample_is_on_the_page(api: Any) -> None:
    headers = [name for name in api.post("/sample?seed=1&method=prior").headers if name.startswith("sample-")]
    assert len(headers) == 9
    assert all(f"`{name.title()}`" in PAGE for name in headers)


def test_every_route_on_the_page_exists(api: Any) -> None:
    paths = set(api.get("/openapi.json").json()["paths"])
    named = set(re.findall(r"(?:localhost:8000|POST |GET )(/\w+)", PAGE))
    assert {"/sample", "/decode", "/score"} <= named
    assert named <= {path.split("/{")[0] for path in paths}


def test_every_setting_on_the_page_exists_and_those_of_the_edge_are_all_there() -> None:
    known = {"WINNOW_" + name.replace(".", "__").upper() for name in known_names()}
    named = set(re.findall(r"WINNOW_\w+__\w+", PAGE))
    assert named <= known
    of_the_edge = {name for name in known if name.startswith(("WINNOW_HTTP_", "WINNOW_AUTH_", "WINNOW_QUOTA_"))}
    assert of_the_edge - named == {"WINNOW_HTTP__BIND", "WINNOW_HTTP__GRACE_SECONDS"}


def test_the_keys_file_on_the_page_is_one() -> None:
    (text,) = re.findall(r"```\n(# name:sha256.*?)```", PAGE, re.DOTALL)
    assert [key.name for key in parse_keys(text, "docs/api.md")] == ["alice", "batch", "operator"]
