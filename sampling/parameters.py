"""What a request may set of a method: one frozen pydantic model a method, with units, bounds and defaults."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Base of every method's parameters; a method without any uses it as it is. Hashable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


NO_PARAMETERS = Parameters()
