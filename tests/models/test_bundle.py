"""Bundles: what was saved is loaded, and every broken bundle is refused with one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch

from models import bundle as bundle_module
from models.bundle import MANIFEST_FILE, BundleError, load_bundle, save_bundle
from models.registry import ARCHITECTURES
from tests.models.bundles import change_tensors, edit, manifest, networks, replace_weights, write


def refusal(folder: Path) -> str:
    """What loading says: one line that names the folder."""
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message and message.endswith("."), message
    return message


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    made, written = networks(), save_bundle(tmp_path, manifest(), networks())
    loaded = load_bundle(tmp_path)
    assert loaded.manifest == written and loaded.name == "small"
    assert (loaded.prior.kind, loaded.prior.dim) == ("normal", 3)
    z = torch.randn(6, 3)
    assert loaded.importance is not None
    torch.testing.assert_close(loaded.generator(z), made["generator"](z).detach())
    torch.testing.assert_close(loaded.importance(z), made["importance"](z).detach())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        MANIFEST_FILE,
        "generator.safetensors",
        "importance.safetensors",
    ]


def test_loaded_networks_are_in_eval_mode_and_frozen(tmp_path: Path) -> None:
    loaded = load_bundle(write(tmp_path))
    for network in loaded.networks.values():
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_bundle_without_importance_is_whole(tmp_path: Path) -> None:
    plain = manifest(importance=None, networks={"generator": manifest().networks["generator"]})
    save_bundle(tmp_path, plain, {"generator": networks()["generator"]})
    assert load_bundle(tmp_path).importance is None


def test_the_digest_changes_with_any_weight_and_with_nothing_else(tmp_path: Path) -> None:
    first, again = load_bundle(write(tmp_path / "a")), load_bundle(write(tmp_path / "b"))
    other = load_bundle(write(tmp_path / "c", seed=1))
    nudged = networks()
    with torch.no_grad():
        next(nudged["importance"].parameters())[0, 0] += 1e-6
    save_bundle(tmp_path / "d", manifest(), nudged)
    assert first.digest == again.digest
    assert len({first.digest, other.digest, load_bundle(tmp_path / "d").digest}) == 3


def test_saving_needs_the_networks_that_the_manifest_names(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"\['generator'\] do not match the manifest's \['generator', 'importance'\]"):
        save_bundle(tmp_path, manifest(), {"generator": networks()["generator"]})


@pytest.mark.parametrize("writes", [0, 1, 2])
@pytest.mark.parametrize("over", [False, True])
def test_an_interrupted_save_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, over: bool
) -> None:
    """Power fails during the write after ``writes`` whole ones; then the save is done again."""
    before = (write(tmp_path), load_bundle(tmp_path).digest)[1] if over else None
    real_write = bundle_module._write_beside

    def failing(path: Path, payload: bytes, written: list[Path]) -> None:
        if len(written) == writes:
            path.with_name(path.name + ".partial").write_bytes(payload[: len(payload) // 2])
            raise KeyboardInterrupt
        real_write(path, payload, written)

    with monkeypatch.context() as patch:
        patch.setattr(bundle_module, "_write_beside", failing)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, seed=1)
    if over:
        assert load_bundle(tmp_path).digest == before
    else:
        assert "bundle.json cannot be read (No such file or directory)" in refusal(tmp_path)
    write(tmp_path, seed=1)
    assert load_bundle(tmp_path).digest != before and not list(tmp_path.glob("*.partial"))


def test_a_save_between_whose_files_the_power_fails_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    real_replace = Path.replace

    def failing(path: Path, target: Path) -> Path:
        if target.name == MANIFEST_FILE:
            raise KeyboardInterrupt
        return real_replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, seed=1)
    assert "generator.safetensors does not match the sha256 in bundle.json" in refusal(tmp_path)


def test_a_full_disk_is_told_and_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    before = load_bundle(tmp_path).digest

    def full(_: int) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BundleError, match=r"not be written \(No space left on device\); free space and start again"):
        write(tmp_path, seed=1)
    assert load_bundle(tmp_path).digest == before and not list(tmp_path.glob("*.partial"))


def set_to(*path: str, value: Any) -> Callable[[Path], None]:
    """A spoiler that puts ``value`` at ``path`` in bundle.json."""

    def spoil(folder: Path) -> None:
        def change(document: dict[str, Any]) -> None:
            *parents, last = path
            for key in parents:
                document = document[key]
            document[last] = value

        edit(folder, change)

    return spoil


def truncated_with_matching_hash(folder: Path) -> None:
    replace_weights(folder, "generator", (folder / "generator.safetensors").read_bytes()[:-8])


def flipped_byte(folder: Path) -> None:
    path = folder / "importance.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    return lambda folder: change_tensors(folder, "generator", change)


def text(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / MANIFEST_FILE).write_bytes(content) and None


def weight_quantiles(*quantiles: float) -> Callable[[Path], None]:
    measured = {
        "rows": 1, "seed": 0, "mean_weight": 1, "share_above_cap": 0, "acceptance_rate": 0.5,
        "effective_sample_size": 1, "weight_quantiles": quantiles,
    }  # fmt: skip
    return set_to("calibration", value=measured)


W = "body.0.weight"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no bundle.json": (lambda f: (f / MANIFEST_FILE).unlink(), "is not a bundle: bundle.json cannot be read (No such"),
    "half of bundle.json": (lambda f: text((f / MANIFEST_FILE).read_bytes()[:50])(f), "bundle.json is not valid JSON"),
    "empty bundle.json": (text(b""), "bundle.json is not valid JSON"),
    "binary bundle.json": (text(b"\xff\xfe\x00\x80"), "bundle.json is not valid JSON"),
    "a list": (text(b"[1, 2]"), "bundle.json: the document"),
    "nested beyond reason": (text(b"[" * 100_000), "bundle.json is not valid JSON"),
    "no weights file": (
        lambda f: (f / "generator.safetensors").unlink(),
        "generator.safetensors cannot be read (No such",
    ),
    "weights are a folder": (
        lambda f: [(f / "generator.safetensors").unlink(), (f / "generator.safetensors").mkdir()],
        "generator.safetensors cannot be read (Is a directory)",
    ),
    "quantiles that fall": (weight_quantiles(0.0, 2.0, 1.0), "the quantiles of w must ascend"),
    "no positive weight": (weight_quantiles(0.0, 0.0), "the quantiles of w must ascend to a positive largest weight"),
    "a negative weight": (weight_quantiles(-1.0, 1.0), "calibration.weight_quantiles.0: Input should be greater"),
    "wrong hash": (flipped_byte, "importance.safetensors does not match the sha256"),
    "truncated weights": (truncated_with_matching_hash, "generator.safetensors: "),
    "empty weights": (lambda f: replace_weights(f, "generator", b""), "generator.safetensors: "),
    "a pickle": (lambda f: replace_weights(f, "generator", b"\x80\x04K\x01."), "generator.safetensors: "),
    "wrong shape": (
        tensors(lambda t: t.update({W: torch.zeros(4, 5)})),
        "generator.safetensors: tensor body.0.weight has shape [4, 5], the architecture needs [4, 3]",
    ),
    "missing tensor": (tensors(lambda t: t.pop(W)), "tensor body.0.weight is missing"),
    "foreign tensor": (tensors(lambda t: t.update(extra=torch.zeros(1))), "tensor extra is missing or does not belong"),
    "NaN": (tensors(lambda t: t[W].fill_(torch.nan)), "tensor body.0.weight holds NaN or infinite values"),
    "infinity": (tensors(lambda t: t[W].fill_(torch.inf)), "tensor body.0.weight holds NaN or infinite values"),
    "overflow": (tensors(lambda t: [v.fill_(3e38) for v in t.values()]), "a probe batch gives NaN or infinite values"),
    "unknown architecture": (
        set_to("networks", "generator", "architecture", value="resnet"),
        "generator.safetensors: unknown architecture 'resnet'; known: branched-features, channel-features, ",
    ),
    "bad configuration": (
        set_to("networks", "generator", "config", value={"latent_dim": 3, "colour": True}),
        "mlp-generator does not take the configuration",
    ),
    "configuration of another type": (
        set_to("networks", "generator", "config", value={"latent_dim": "three", "output_shape": [2]}),
        "mlp-generator does not take the configuration",
    ),
    "configuration of another size": (
        set_to("networks", "generator", "config", "hidden", value=[5]),
        "tensor body.0.bias has shape [4], the architecture needs [5]",
    ),
    "future schema": (set_to("schema_version", value=99), "schema version 99, this Winnow reads up to 1; upgrade it"),
    "past schema": (set_to("schema_version", value=0), "schema_version"),
    "unknown key": (set_to("colour", value="red"), "bundle.json: colour: Extra inputs are not permitted"),
    "unknown role": (set_to("networks", "painter", value={}), "bundle.json: networks.painter"),
    "bad name": (set_to("name", value="../escape"), "bundle.json: name: "),
    "not a hash": (set_to("networks", "generator", "sha256", value="abc"), "networks.generator.sha256: "),
    "missing key": (lambda f: edit(f, lambda d: d.pop("licence")), "bundle.json: licence: Field required"),
    "no importance entry": (
        set_to("importance", value=None),
        "importance network and its 'importance' entry must come",
    ),
    "importance entry alone": (lambda f: edit(f, lambda d: d["networks"].pop("importance")), "must come together"),
    "another head": (set_to("importance", "head", value="relu"), "head or cap of the importance network differ"),
    "another cap": (set_to("importance", "cap", value=2.0), "head or cap of the importance network differ"),
    "importance is a critic": (
        lambda f: [
            edit(f, lambda d: d["networks"].update(importance=dict(d["networks"]["generator"]))),
            (f / "importance.safetensors").write_bytes((f / "generator.safetensors").read_bytes()),
        ],
        "the importance network is a mlp-generator",
    ),
    "another output": (
        set_to("output", "shape", value=[3]),
        "probe batch has shape (2, 2), bundle.json promises (2, 3)",
    ),
    "another latent dimension": (set_to("prior", "dim", value=4), "a probe batch of 4-d latents fails ("),
    "no generator": (lambda f: edit(f, lambda d: d["networks"].pop("generator")), "the bundle has no generator"),
    "no networks": (set_to("networks", value={}), "the bundle has no generator"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_bundle_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    spoil, sentence = BROKEN[kind]
    spoil(write(tmp_path / "small"))
    assert sentence in refusal(tmp_path / "small")


@pytest.mark.parametrize(("error", "said"), [(ValueError("odd\nrows"), "odd"), (KeyError(), "KeyError")])
def test_a_network_that_raises_on_the_probe_batch_is_a_broken_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def raising(*_: object) -> torch.Tensor:
        raise error

    write(tmp_path / "small")
    monkeypatch.setattr(ARCHITECTURES["mlp-generator"], "forward", raising)
    assert f"latents fails ({said})." in refusal(tmp_path / "small")


def test_a_file_and_a_missing_folder_are_no_bundles(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    assert "is not a bundle: bundle.json cannot be read (Not a directory)" in refusal(tmp_path / "file")
    assert "is not a bundle: bundle.json cannot be read (No such" in refusal(tmp_path / "nothing")
