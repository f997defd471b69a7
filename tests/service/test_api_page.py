"""docs/api.md names every error code and header there is, and no route that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from service.http.problems import CODES

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
