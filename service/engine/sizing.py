"""How many rows one generator call has: from its arithmetic, not from a clock.

A batch is what everybody else waits for, and the shape that seeded bits depend on. Measured times differ from start to
start, and with them the shape, the bits and the fingerprint would; a count of multiplications does not.
"""

from __future__ import annotations

import torch
from torch import nn

from models.bundle import Bundle

# A thread of a current CPU makes 75 to 90 GFLOP/s of the 28x28 and of a 128x128x3 generator in float32: 13 ms a batch.
CPU_BATCH_FLOPS = 1e9
# A hundred times that: a large GPU is idle for most of a smaller batch. Not measured on one yet.
CUDA_BATCH_FLOPS = 1e11
# Points are nearly free; rows beyond this only make the answer of a small seeded request wait.
MAX_BATCH_ROWS = 512
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@torch.no_grad()
def generator_flops(bundle: Bundle) -> int:
    """Floating point operations of one row, in its linear and convolution layers: two for each weight and position.

    torch's own FlopCounterMode says the same, and loads the compiler for it: a second at every start.
    """
    flops = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal flops
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        transposed = isinstance(layer, TRANSPOSED)
        positions = inputs[0][:, 0].numel() if transposed else output.numel() // len(weight)
        flops += 2 * weight.numel() * positions

    layers = [layer for layer in bundle.generator.modules() if isinstance(layer, (*LAYERS, *TRANSPOSED))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    bundle.generator(torch.zeros(1, bundle.prior.dim, device=bundle.device))
    for hook in hooks:
        hook.remove()
    return flops


def batch_rows(flops_a_row: int, budget: float) -> int:
    """The largest power of two of rows within ``budget``, at least 1, at most MAX_BATCH_ROWS."""
    rows = 1
    while rows < MAX_BATCH_ROWS and 2 * rows * flops_a_row <= budget:
        rows *= 2
    return rows


def rows_for(bundle: Bundle, wanted: int | None) -> int:
    """Rows of a generator call: what the settings say, or by arithmetic."""
    if wanted is not None:
        return wanted
    budget = CUDA_BATCH_FLOPS if bundle.device.type == "cuda" else CPU_BATCH_FLOPS
    return batch_rows(generator_flops(bundle), budget)
