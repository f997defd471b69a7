"""How many rows a batch has: by arithmetic that torch confirms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.workloads import random_bundle
from models.bundle import Bundle, load_bundle
from service.engine.sizing import CPU_BATCH_FLOPS, MAX_BATCH_ROWS, batch_rows, generator_flops, rows_for

BUNDLES = Path(__file__).parents[2] / "bundles"


@pytest.fixture(params=["fashion-mnist", "gaussians-25", "random-128"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return random_bundle() if request.param == "random-128" else load_bundle(BUNDLES / request.param)


def test_torch_counts_the_same(bundle: Bundle) -> None:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        bundle.generator(torch.zeros(1, bundle.prior.dim))
    assert generator_flops(bundle) == counter.get_total_flops() > 0
    assert generator_flops(bundle) == counter.get_total_flops()  # no hook is left behind


def test_a_batch_is_the_largest_power_of_two_within_the_budget(bundle: Bundle) -> None:
    rows, flops = rows_for(bundle, None), generator_flops(bundle)
    assert rows == {"fashion-mnist": 32, "gaussians-25": MAX_BATCH_ROWS, "random-128": 1}[bundle.name]
    assert rows == 1 or rows * flops <= CPU_BATCH_FLOPS
    assert rows == MAX_BATCH_ROWS or 2 * rows * flops > CPU_BATCH_FLOPS


def test_the_setting_beats_the_arithmetic(bundle: Bundle) -> None:
    assert rows_for(bundle, 7) == 7


def test_a_generator_without_layers_that_count_gets_the_largest_batch() -> None:
    assert batch_rows(0, CPU_BATCH_FLOPS) == MAX_BATCH_ROWS
