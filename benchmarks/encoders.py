"""What the encoders cost: CPU time of one thread a sample, beside the usual way to write the same format.

    python -m benchmarks.encoders [--pairs 30] [--page docs/encoders.md]

28x28 are images of the bundle's generator (prior, seed 0); 128 and 256 pixels smooth noise with a little texture
(seed 0), because no such bundle is here. Every row comes from interleaved pairs in one process, the order within a
pair alternates; the ratio is the geometric mean over the pairs with its 97% Student interval. Each pair encodes the
same samples; before it, png and ndjson are read back and compared with what was written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import exp, log
from pathlib import Path
from statistics import median
from time import thread_time
from zipfile import ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.bundle import load_bundle
from models.pixels import to_uint8
from sampling.prior import sample_prior
from sampling.streams import BlockStream
from service.engine.encoders.lines import LinesWriter
from service.engine.encoders.pictures import JPEG_QUALITY, WEBP_QUALITY, write_jpeg, write_webp
from service.engine.encoders.png import write_pngs
from service.engine.encoders.versions import encoder_facts
from service.engine.encoders.zip_images import ZipWriter
from service.engine.portions import Facts, Portion, Summary
from training.metrics.intervals import student_interval
from training.pages import replace_block

PAIRS, WARM_UP, SEED = 30, 2, 0
LATENT_DIM = 100
# Samples of one pair, by the side of an image: some milliseconds of the slower encoder.
BATCHES = {28: 256, 128: 16, 256: 8}
CELL, TEXTURE = 16, 0.08
PROGRAM = "benchmarks.encoders"

Images = NDArray[np.uint8]
Encode = Callable[[Portion], list[bytes]]


@dataclass(frozen=True)
class Case:
    """One format: ``ours`` and the ``usual`` way, each all files of a portion; ``name`` and ``beside`` say which."""

    name: str
    beside: str
    ours: Encode
    usual: Encode


def real_images(folder: Path, n: int) -> Images:
    """Images uint8 [n, H, W, C] that the bundle's generator makes of the prior."""
    bundle = load_bundle(folder)
    low, high = bundle.manifest.output.range or (-1.0, 1.0)
    with torch.no_grad():
        made = bundle.generator(sample_prior(bundle.prior, None, n, BlockStream(SEED, n)).latents)
    images: Images = to_uint8(made, low, high).permute(0, 2, 3, 1).contiguous().numpy()
    return images


def smooth_noise(n: int, side: int) -> Images:
    """Images uint8 [n, side, side, 3]: noise on a grid of CELL pixels, bicubic, with texture, through tanh."""
    random = np.random.default_rng(SEED)
    images = np.empty((n, side, side, 3), np.uint8)
    for image in images:
        for channel in range(3):
            coarse = Image.fromarray(random.normal(size=(side // CELL + 2,) * 2).astype(np.float32))
            fine = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
            image[:, :, channel] = (np.tanh(fine + TEXTURE * random.normal(size=fine.shape)) + 1) * 127.5
    return images


def portion_of(images: Images) -> Portion:
    random = np.random.default_rng(SEED)
    latents = random.standard_normal((len(images), LATENT_DIM), np.float32)
    return Portion(latents, random.random(len(images), np.float32), images)


def with_pillow(images: Images, kind: str, **options: int) -> list[bytes]:
    """One file an image, as ``Image.save`` writes it."""
    files = []
    for image in images:
        buffer = BytesIO()
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files


def facts_for(portion: Portion) -> Facts:
    assert portion.rows is not None
    return Facts("model", "0" * 16, portion.n, portion.rows.shape[1:], "latentrs", SEED)


def our_zip(portion: Portion) -> list[bytes]:
    writer = ZipWriter(facts_for(portion))
    return [writer.start() + writer.add(portion) + writer.finish(Summary(portion.n, 1.0))]


def usual_zip(portion: Portion) -> list[bytes]:
    assert portion.weights is not None
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for i, file in enumerate(with_pillow(pixels(portion), "png")):
            archive.writestr(f"{i:06d}.png", file)
        archive.writestr("manifest.json", json.dumps({"weights": portion.weights.tolist()}))
    return [buffer.getvalue()]


def our_lines(portion: Portion) -> list[bytes]:
    return [LinesWriter(facts_for(portion)).add(Portion(portion.latents, portion.weights, None))]


def usual_lines(portion: Portion) -> list[bytes]:
    assert portion.weights is not None
    pairs = zip(portion.latents.tolist(), portion.weights.tolist(), strict=True)
    lines = [json.dumps({"index": i, "latent": z, "weight": w}) for i, (z, w) in enumerate(pairs)]
    return [("\n".join(lines) + "\n").encode()]


def pixels(portion: Portion) -> Images:
    assert portion.rows is not None
    return portion.rows.astype(np.uint8, copy=False)


CASES = (
    Case("png", "Pillow, its defaults", lambda p: write_pngs(pixels(p)), lambda p: with_pillow(pixels(p), "png")),
    Case(
        "jpeg", f"Pillow, quality {JPEG_QUALITY}, full colour", lambda p: list(map(write_jpeg, pixels(p))),
        lambda p: with_pillow(pixels(p), "jpeg", quality=JPEG_QUALITY, subsampling=0),
    ),
    Case(
        "webp", f"Pillow, its defaults (quality {WEBP_QUALITY}, method 4)", lambda p: list(map(write_webp, pixels(p))),
        lambda p: with_pillow(pixels(p), "webp"),
    ),
    Case("zip", "zipfile of Pillow's PNG", our_zip, usual_zip),
    Case("ndjson, no images", "json of float64", our_lines, usual_lines),
)  # fmt: skip


def check_exact(case: Case, portion: Portion) -> None:
    """Raises ValueError unless png brings the pixels back and ndjson the numbers."""
    files = case.ours(portion)
    if case.name == "png":
        found = [np.asarray(Image.open(BytesIO(file))).reshape(pixels(portion).shape[1:]) for file in files]
        exact = np.array_equal(found, pixels(portion))
    elif case.name.startswith("ndjson"):
        latents = [json.loads(line)["latent"] for line in files[0].splitlines()]
        exact = np.array_equal(np.array(latents, np.float32), portion.latents)
    else:
        return
    if not exact:
        raise ValueError(f"{case.name} does not bring back what was written")


def measure(case: Case, portion: Portion, pairs: int) -> str:
    """One row of the table."""
    check_exact(case, portion)
    times = [pair_of_seconds(case, portion, swap=bool(i % 2)) for i in range(WARM_UP + pairs)][WARM_UP:]
    ratio = student_interval([log(usual / ours) for ours, usual in times])
    low, middle, high = (exp(ratio.mean + side * ratio.half_width) for side in (-1, 0, 1))
    ours, usual = (1e3 * median(pair[side] for pair in times) / portion.n for side in (0, 1))
    sizes = [sum(map(len, encode(portion))) / portion.n for encode in (case.ours, case.usual)]
    shape = "x".join(map(str, pixels(portion).shape[1:]))
    return (
        f"| {case.name} | {shape} | {ours:.4f} | {usual:.4f} | {middle:.2f} ({low:.2f} to {high:.2f}) "
        f"| {sizes[0]:.0f} | {sizes[1]:.0f} | {case.beside} |"
    )


def pair_of_seconds(case: Case, portion: Portion, swap: bool) -> tuple[float, float]:
    """CPU seconds of ours and of the usual way, the usual first with ``swap``."""
    if swap:
        usual = seconds(case.usual, portion)
        return seconds(case.ours, portion), usual
    return seconds(case.ours, portion), seconds(case.usual, portion)


def seconds(encode: Encode, portion: Portion) -> float:
    """CPU seconds of this thread; no encoder here has threads of its own."""
    started = thread_time()
    encode(portion)
    return thread_time() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--page", type=Path, help="put the table into this page, between its markers")
    args = parser.parse_args()
    portions = [
        portion_of(real_images(args.bundle, n) if side == 28 else smooth_noise(n, side)) for side, n in BATCHES.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in encoder_facts().items() if name != "probe")
    lines = [
        f"{args.pairs} pairs a row, one thread; {', '.join(str(p.n) for p in portions)} samples of the three sizes a"
        f" pair; {versions}.\n",
        "| format | sample | CPU ms each | usual way | times as fast, 97% interval | bytes | usual way | which is |",
        "| --- |" + " --- |" * 7,
    ]
    for case in CASES:
        for portion in portions[:1] if case.name.startswith("ndjson") else portions:
            lines.append(measure(case, portion, args.pairs))
            print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))
    if args.page:
        page = args.page.read_text(encoding="utf-8")
        args.page.write_text(replace_block(page, PROGRAM, "\n".join(lines)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
