"""Constants that methods need from a pilot run, measured once when the bundle is made and frozen in ``bundle.json``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PilotSection(BaseModel):
    """Base of one method's constants."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Pilot(PilotSection):
    """One optional section a method; a method whose section is missing is not available."""
