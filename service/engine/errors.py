"""Why the engine says no. ``code`` is stable and lives on in every interface; the message is one sentence."""

from __future__ import annotations

from collections.abc import Mapping


def first_line(error: BaseException) -> str:
    """What may be said of somebody else's exception."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class EngineError(Exception):
    """Base of every refusal and failure of the engine."""

    code = "internal"


class UnknownModel(EngineError):
    code = "model_not_found"


class BrokenModel(EngineError):
    """The model's bundle could not be loaded."""

    code = "model_broken"


class ModelInUse(EngineError):
    """The model cannot be taken away."""

    code = "model_in_use"


class UnknownMethod(EngineError):
    code = "method_unknown"


class MethodUnavailable(EngineError):
    """The method exists, but not with this bundle."""

    code = "method_unavailable"


class NetworkMissing(EngineError):
    """The bundle lacks a network that this work needs."""

    code = "network_missing"


class InvalidParameters(EngineError):
    """``problems``: the wrong parameters by name, each with a sentence that says what would do."""

    code = "invalid_parameters"

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{name}: {sentence}" for name, sentence in problems.items()))
        self.problems = dict(problems)


class Overloaded(EngineError):
    """The queue is full; ``retry_after`` seconds from now it should not be."""

    code = "overloaded"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineTooShort(Overloaded):
    """Under fair sharing the request would be done after its deadline."""


class DeadlineExceeded(EngineError):
    """The deadline of the request passed before it was done."""

    code = "deadline_exceeded"


class Draining(EngineError):
    code = "draining"


class OutOfMemory(EngineError):
    """The device had no memory for a batch; in ``retry_after`` seconds smaller ones are in use, or tried again."""

    code = "out_of_memory"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Stalled(EngineError):
    """The method accepts too little: never a hang, never an unfiltered sample."""

    code = "rejection_stalled"


class GenerationFailed(EngineError):
    """A network raised while it worked on this request's batch."""

    code = "generation_failed"


class DeviceStopped(EngineError):
    """A device loop has ended by a mistake of ours: only a restart helps."""

    code = "device_stopped"


class CatalogError(EngineError):
    """Nothing can be served; the message says what to do."""

    code = "catalog"


class DeviceUnavailable(CatalogError):
    """There is no such device here."""
