"""The methods by name."""

from __future__ import annotations

from models.bundle import Bundle
from sampling import langevin, latentga, latentrs, latentrsga, prior
from sampling.method import Method, MethodUnavailable
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD for module in (prior, latentrs, latentga, latentrsga, langevin)
}
DEFAULT_SIZES = BlockSizes()


def bind(bundle: Bundle, name: str, parameters: Parameters | None = None, sizes: BlockSizes = DEFAULT_SIZES) -> Sampler:
    """The sampler of a method. Raises KeyError for a name that is none, MethodUnavailable, ValueError."""
    method = METHODS[name]
    if lacking := method.missing(bundle):
        raise MethodUnavailable(f"Method {name} needs {' and '.join(lacking)}, which bundle {bundle.name} lacks.")
    return method.bind(bundle, method.parameters() if parameters is None else parameters, sizes)
