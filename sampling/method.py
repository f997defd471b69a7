"""What a method is to the rest: its name, what it needs of a bundle, what a request may set, how it is bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.bundle import Bundle
from models.manifest import NetworkRole
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler


class MethodUnavailable(ValueError):
    """The bundle lacks what the method needs; the message names it."""


@dataclass(frozen=True)
class Method:
    """``needs``: networks the bundle must have; ``pilot``: sections of models.pilot.Pilot it must have.

    ``bind`` takes a bundle that has them, an instance of ``parameters`` and the block sizes. It may raise
    ValueError for parameters that this bundle cannot meet, in one sentence that says which would do.
    """

    name: str
    summary: str
    bind: Callable[[Bundle, Any, BlockSizes], Sampler]
    needs: tuple[NetworkRole, ...] = ()
    pilot: tuple[str, ...] = ()
    parameters: type[Parameters] = Parameters

    def missing(self, bundle: Bundle) -> list[str]:
        """What ``bundle`` lacks, in words; empty when it can do this method."""
        networks = [_lacking(bundle, role) for role in self.needs if role not in bundle.networks]
        pilot = bundle.manifest.pilot
        constants = [f"the constants '{name}' of a pilot run" for name in self.pilot if getattr(pilot, name) is None]
        return networks + constants


def _lacking(bundle: Bundle, role: NetworkRole) -> str:
    reason = bundle.withheld.get(role)
    return f"a network '{role}'" + (f" ({reason})" if reason else "")
