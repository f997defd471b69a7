"""Why the engine says no. ``code`` is stable and lives on in every interface; the message is one sentence."""

from __future__ import annotations


class EngineError(Exception):
    """Base of every refusal and failure of the engine."""

    code = "internal"


class UnknownModel(EngineError):
    code = "model_not_found"


class BrokenModel(EngineError):
    """The model's bundle could not be loaded."""

    code = "model_broken"


class UnknownMethod(EngineError):
    code = "method_unknown"


class MethodUnavailable(EngineError):
    """The method exists, but not in this version or not with this bundle."""

    code = "method_unavailable"


class Overloaded(EngineError):
    """The queue is full; ``retry_after`` seconds from now it should not be."""

    code = "overloaded"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Draining(EngineError):
    code = "draining"


class Stalled(EngineError):
    """The method accepts too little: never a hang, never an unfiltered sample."""

    code = "rejection_stalled"


class GenerationFailed(EngineError):
    """A network raised while it worked on this request's batch."""

    code = "generation_failed"


class CatalogError(EngineError):
    """Nothing can be served; the message says what to do."""

    code = "catalog"
