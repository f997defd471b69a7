"""The embedded bundle of points: it can do every method, and fast."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.bundle import Bundle, load_bundle

FOLDER = Path(__file__).parents[2] / "bundles" / "gaussians-25"


@pytest.fixture(scope="session")
def points() -> Bundle:
    return load_bundle(FOLDER)
