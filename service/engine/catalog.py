"""The bundles of a folder, loaded where they can be, with the sentence that says why where they cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models.bundle import MANIFEST_FILE, Bundle, BundleError, load_bundle
from sampling.methods import check_defaults
from service.engine.errors import BrokenModel, CatalogError, ModelInUse, UnknownModel
from service.engine.served import Served

PREFERRED_MODEL = "fashion-mnist"
DRAWABLE_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Model:
    """One bundle folder under the bundle's name, the folder's if it could not be loaded; ``broken`` in one sentence.

    ``bundles``: one and the same on each device, none where it is broken. ``served``: once it is warm.
    """

    name: str
    folder: Path
    bundles: tuple[Bundle, ...] = ()
    broken: str | None = None
    served: Served | None = None

    @property
    def bundle(self) -> Bundle | None:
        """The one on the first device."""
        return self.bundles[0] if self.bundles else None


@dataclass(frozen=True)
class Catalog:
    """What is served: models by name, in order of name, and the default one."""

    models: dict[str, Model]
    default: str

    def find(self, name: str | None) -> Model:
        """A loaded model. Raises UnknownModel, BrokenModel."""
        name = self.default if name is None else name
        if name not in self.models:
            raise UnknownModel(f"There is no model {name!r}; the models are {', '.join(self.models)}.")
        check_whole(self.models[name])
        return self.models[name]

    def loaded(self) -> list[Bundle]:
        """Those that are not broken, each on its first device."""
        return [model.bundle for model in self.models.values() if model.bundle is not None]

    def with_model(self, model: Model) -> Catalog:
        """With ``model`` in the place of the one of its name, or besides."""
        models = {**self.models, model.name: model}
        return replace(self, models=dict(sorted(models.items())))

    def without(self, name: str) -> Catalog:
        """Raises UnknownModel; ModelInUse for the default model."""
        if name not in self.models:
            raise UnknownModel(f"There is no model {name!r}; the models are {', '.join(self.models)}.")
        if name == self.default:
            raise ModelInUse(f"{name} is the default model and stays; it can be replaced.")
        return replace(self, models={key: model for key, model in self.models.items() if key != name})


def bundle_folders(root: Path) -> list[Path]:
    """Sub-folders that hold a manifest; a folder that is itself a bundle stands for itself."""
    if (root / MANIFEST_FILE).is_file():
        return [root]
    return sorted(path.parent for path in root.glob(f"*/{MANIFEST_FILE}"))


def load_catalog(
    root: Path, default: str | None, devices: Sequence[torch.device], allow_rejected: bool = False
) -> Catalog:
    """Load every bundle under ``root`` onto each device.

    Raises CatalogError if there is none or the default one is broken.
    """
    folders = bundle_folders(root)
    if not folders:
        raise CatalogError(
            f"no bundles under {root}/: train one with `winnow train`, or point WINNOW_BUNDLES or --bundles elsewhere"
        )
    models: dict[str, Model] = {}
    for folder in folders:
        model = load_model(folder, devices, allow_rejected)
        if model.name in models:
            other = models[model.name].folder
            model = Model(folder.resolve().name, folder, broken=f"{folder} has the same name as {other}.")
        models.setdefault(model.name, model)
    if default is not None and default not in models:
        raise CatalogError(f"the default model {default!r} is not under {root}/; choose one of {', '.join(models)}")
    chosen = default or (PREFERRED_MODEL if PREFERRED_MODEL in models else _first_loaded(models))
    catalog = Catalog(models, chosen)
    check_default(catalog)
    return catalog


def check_default(catalog: Catalog) -> None:
    """Raises CatalogError if the default model is broken."""
    if (reason := catalog.models[catalog.default].broken) is not None:
        raise CatalogError(f"the default model {catalog.default} is broken: {reason} Repair it, or set --default-model")


def check_whole(model: Model) -> None:
    """Raises BrokenModel."""
    if model.broken is not None:
        raise BrokenModel(f"Model {model.name} cannot be served: {model.broken}")


def load_model(folder: Path, devices: Sequence[torch.device], allow_rejected: bool = False) -> Model:
    """One bundle on each device; what is wrong with it becomes its ``broken`` sentence. Weights that the quality gate
    rejected are withheld unless ``allow_rejected``."""
    try:
        bundles = tuple(load_bundle(folder, device) for device in devices)
        _check_servable(folder, bundles[0])
    except BundleError as error:
        return Model(folder.resolve().name, folder, broken=str(error))
    if not allow_rejected:
        bundles = tuple(map(without_rejected_weights, bundles))
    return Model(bundles[0].name, folder, bundles)


def without_rejected_weights(bundle: Bundle) -> Bundle:
    """``bundle`` as it may be served: w only if the quality gate did not reject it."""
    importance = bundle.manifest.importance
    if importance is None or importance.verdict != "rejected":
        return bundle
    said = (importance.reason or "it gave no reason").rstrip(".")
    reason = f"rejected by the quality gate: {said}; WINNOW_ALLOW_REJECTED_WEIGHTS=true would serve it all the same"
    return bundle.without("importance", reason)


def _first_loaded(models: dict[str, Model]) -> str:
    return next((name for name, model in models.items() if model.broken is None), next(iter(models)))


def _check_servable(folder: Path, bundle: Bundle) -> None:
    try:
        check_defaults(bundle)
    except ValueError as error:
        raise BundleError(f"{folder}: {error}.") from error
    output = bundle.manifest.output
    if output.kind == "points" and len(output.shape) != 1:
        raise BundleError(f"{folder}: points need an output shape (D,), not {output.shape}.")
    if output.kind == "image" and (len(output.shape) != 3 or output.shape[0] not in DRAWABLE_CHANNELS):
        raise BundleError(f"{folder}: images need an output shape (1 or 3, H, W), not {output.shape}.")
    if output.kind == "image" and (output.range is None or not output.range[0] < output.range[1]):
        raise BundleError(f"{folder}: images need a value range (low, high) in bundle.json.")
