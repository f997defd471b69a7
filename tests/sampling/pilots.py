"""The small bundle of tests.models with pilot sections whose quantiles are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from models.bundle import Bundle, load_bundle
from models.manifest import PriorSpec
from models.pilot import Pilot
from tests.models import bundles


def bundle_with(folder: Path, generator: nn.Module | None = None, dim: int = 3, **sections: Any) -> Bundle:
    """The sections of ``models.pilot.Pilot`` by name; ``generator`` in place of the bundle's own, without a w."""
    bundle = load_bundle(bundles.write(folder / "small"))
    manifest = bundle.manifest.model_copy(
        update={"pilot": Pilot(**sections), "prior": PriorSpec(kind="normal", dim=dim)}
    )
    networks = bundle.networks if generator is None else {"generator": generator}
    return replace(bundle, manifest=manifest, networks=networks)  # type: ignore[arg-type]
