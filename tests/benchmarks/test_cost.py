"""benchmarks.cost: rows and passes are counted for one sample that comes out, timings are pairs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks import cost
from benchmarks.cost import LEAST_PAIRS, WARM_UP, Supply, measure, passes, table, words
from models.bundle import Bundle
from sampling.draw import Cost
from sampling.methods import bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream

CPU = torch.device("cpu")
SIZES = BlockSizes(latents=64, decoded=30)


def test_passes_are_rows_over_samples_that_came_out() -> None:
    spent = Cost(proposals=60, accepted=20, importance_rows=60, generator_rows=40, critic_rows=10, gradient_steps=5)
    counted = {"critic_passes": 0.5, "importance_passes": 3.0, "gradient_steps": 0.25}
    assert passes(spent, decodes=True) == {"generator_passes": 2.0, **counted}
    assert passes(spent, decodes=False) == {"generator_passes": 3.0, **counted}
    assert passes(Cost(), decodes=False)["generator_passes"] == 1.0


@pytest.mark.parametrize("method", ["latentrs", "sir"])
def test_a_supply_hands_out_the_samples_of_one_draw_in_order(points: Bundle, method: str) -> None:
    supply = Supply(points, bind(points, method, sizes=SIZES))
    handed = torch.cat([supply.take(n) for n in (5, 20, 1)])
    sampler = bind(points, method, sizes=SIZES)
    drawn = draw(method, sampler.propose, 26, BlockStream(0, sampler.block))
    samples = points.generator(drawn.latents) if drawn.samples is None else drawn.samples
    assert torch.allclose(handed, samples, atol=1e-6)
    assert supply.decodes == (method == "sir")


def test_a_row_counts_what_its_settings_cost(points: Bundle) -> None:
    row = measure(points, "sir", 60, SIZES, 6, {"candidates": 3})
    assert (row["acceptance"], row["generator_passes"], row["critic_passes"]) == pytest.approx((1 / 3, 3, 3))
    assert row["method_ms"] == pytest.approx(row["bare_ms"] * row["ratio"])
    assert (row["pairs"], row["batch"], row["decodes"]) == (6, 60, True)


def test_a_slow_row_has_fewer_pairs_and_says_so(points: Bundle) -> None:
    row = measure(points, "prior", 8, SIZES, 20, most_seconds=0.0)
    assert row["pairs"] == LEAST_PAIRS
    assert f"| prior | 8 | {LEAST_PAIRS} |" in table([row])
    assert measure(points, "prior", 8, SIZES, 2, most_seconds=0.0)["pairs"] == 2


def test_the_ratio_is_of_paired_times_whichever_side_comes_first(
    points: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base takes 1, 2, 3, ... seconds, the method three times as long."""
    calls: dict[str, int] = {"base": 0, "method": 0}
    order: list[str] = []

    def seconds(work: Callable[[], object], device: torch.device) -> float:
        side = "base" if work is base else "method"
        order.append(side)
        calls[side] += 1
        return calls[side] * (1.0 if side == "base" else 3.0)

    def base() -> None: ...

    monkeypatch.setattr(cost, "base_work", lambda *_: base)
    monkeypatch.setattr(cost, "_seconds", seconds)
    row = measure(points, "prior", 10, SIZES, 20)
    mean = 1e3 * (WARM_UP + (1 + 20) / 2) / 10
    assert (row["ratio"], row["bare_ms"], row["method_ms"]) == pytest.approx((3.0, mean, 3 * mean))
    assert row["half_width"] > 0
    assert {"base", "method"} == set(order[::2]), "one of them always came first"


def test_against_the_prior_the_other_side_draws_with_that_method(
    points: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    take = Supply.take

    def counted(supply: Supply, n: int) -> torch.Tensor:
        taken.append(supply.sampler.method)
        return take(supply, n)

    monkeypatch.setattr(Supply, "take", counted)
    row = measure(points, "latentrs", 16, SIZES, 4, against="prior")
    assert sorted(taken) == ["latentrs"] * 6 + ["prior"] * 6
    assert "ratio to prior" in table([row], "prior") and "; prior " in words(points, [row], CPU, "prior")
    measure(points, "latentrs", 16, SIZES, 4)
    assert "prior" not in taken[12:]


def test_the_words_name_bundle_clock_and_the_published_ratios(points: Bundle) -> None:
    text = words(points, [measure(points, "prior", 8, SIZES, 2)], CPU)
    assert "gaussians-25" in text and "progan 1.25" in text
    assert ("processor time" in text) == (torch.get_num_threads() == 1)
