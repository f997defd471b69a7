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

# The extra "train" brings them.
TRAINING_ONLY = ("ot", "scipy", "sklearn", "tensorboard", "tqdm")


class CommandFailed(Exception):
    """The message is one line that says what to do."""


def advice(error: BaseException) -> str | None:
    """What to tell of ``error`` where it is the user's to mend; None where it is a mistake in Winnow."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in TRAINING_ONLY:
        return (
            f"this needs {error.name}, which serving does not: pip install 'winnow[train]' (in a checkout: make data)"
        )
    classes = (getattr(sys.modules.get(module), name, None) for module, name in EXPECTED)
    if isinstance(error, (CommandFailed, *(kind for kind in classes if isinstance(kind, type)))):
        return " ".join(str(error).split())
    return None
