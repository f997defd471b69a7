"""GET /models/{name} shows what latentrs does to a bundle's weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.bundles import edit

UNIFORM_TO_TWO = {
    "rows": 1000, "seed": 0, "mean_weight": 1.0, "share_above_cap": 0.0, "acceptance_rate": 1 / 3,
    "effective_sample_size": 0.75, "weight_quantiles": [0.0, 0.5, 1.0, 1.5, 2.0],
}  # fmt: skip


@pytest.fixture
def dial(serve: Callable[..., Any], bundles: Path, tmp_path: Path) -> Callable[..., Any]:
    """What a server shows as the dial of ``images``, whose w is uniform on [0, 2], with these defaults."""

    def shown(**defaults: dict[str, Any]) -> Any:
        shutil.copytree(bundles / "images", tmp_path / "images")
        edit(tmp_path / "images", lambda document: document.update(calibration=UNIFORM_TO_TWO, defaults=defaults))
        return serve(tmp_path, "images").get("/models/images").json()["dial"]

    return shown


def test_by_default_it_stands_at_the_cap(dial: Callable[..., Any]) -> None:
    assert dial() == {
        "bound": 3.0, "mean_weight": 1.0, "largest_weight": 2.0, "share_above_cap": 0.0, "share_above_bound": 0.0,
        "lowest": 0.5, "highest": pytest.approx(1.0, abs=0.2), "expected_acceptance": pytest.approx(1 / 3),
        "law": "min(w, 3) * prior",
    }  # fmt: skip


def test_the_bundles_own_default_rate_turns_it(dial: Callable[..., Any]) -> None:
    shown = dial(latentrs={"acceptance": 0.75})
    assert (shown["bound"], shown["share_above_bound"]) == pytest.approx((1.0, 0.5))
    assert shown["expected_acceptance"] == pytest.approx(0.75)
    assert shown["law"] == "min(w, 1) * prior"


@pytest.mark.parametrize("name", ["images", "plain"])
def test_a_model_without_weights_or_their_calibration_has_none(api: Any, name: str) -> None:
    assert api.get(f"/models/{name}").json()["dial"] is None
