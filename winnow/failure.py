"""Failures that a user can do something about: one line, exit code 2, no traceback."""

from __future__ import annotations

import sys

# By name, so that no verb imports what another one needs: a class of a module that was never
# imported cannot have been raised.
EXPECTED = (
    ("models.bundle", "BundleError"),
    ("models.registry", "ArchitectureError"),
    ("sampling.draw", "RejectionStalled"),
    ("service.settings", "SettingsRefused"),  # keys that cannot be used are one, too
    ("service.engine.errors", "EngineError"),
    ("service.http.server", "BindError"),
    ("training.data.dataset", "DataError"),
    ("training.checkpoint", "CheckpointError"),
    ("training.errors", "TrainingRefused"),
    ("winnow.client", "ServerProblem"),
)


class CommandFailed(Exception):
    """The message is one line that says what to do."""


def is_expected(error: BaseException) -> bool:
    """Whether ``error`` is the user's to mend, rather than a mistake in Winnow."""
    if isinstance(error, CommandFailed):
        return True
    classes = (getattr(sys.modules.get(module), name, None) for module, name in EXPECTED)
    return any(isinstance(error, kind) for kind in classes if isinstance(kind, type))
