"""The gate's rule, criterion by criterion, on tables written by hand; and the sentence that it gives."""

from __future__ import annotations

import pytest

from training.evaluation.compare import Table
from training.evaluation.gate import Limits, judge, recall_of
from training.evaluation.report import choose_methods
from training.evaluation.seeds import METRICS as SEED_METRICS
from training.evaluation.seeds import over_seeds

METRICS = ("fid", "energy_distance", "kid", "recall", "emd")
FLOOR = (1.0, 0.0, 0.0, 0.80, 6.0)
PRIOR = (10.0, 1.0, 1.0, 0.80, 7.0)
GOOD = (5.0, 0.5, 0.5, 0.80, 6.5)
WOBBLE = (-0.01, 0.0, 0.01)


def table(prior: tuple[float, ...] = PRIOR, wobble: tuple[float, ...] = WOBBLE, **changes: float) -> Table:
    """The means of ``GOOD`` with ``changes``, each over blocks that differ by ``wobble`` of it."""
    good = {**dict(zip(METRICS, GOOD, strict=True)), **changes}
    rows = {"floor": dict(zip(METRICS, FLOOR, strict=True)), "prior": dict(zip(METRICS, prior, strict=True))}
    steady = {name: {metric: [mean] * len(wobble) for metric, mean in row.items()} for name, row in rows.items()}
    ours = {metric: [mean * (1 + part) for part in wobble] for metric, mean in good.items()}
    return Table({**steady, "latentrs": ours}, 100)


def failed(found: dict[str, object]) -> set[str]:
    names = ("distance_better", "unbiased_better", "no_unbiased_worse", "recall_kept", "emd_not_below_floor")
    return {name for name in names if not found[name]}


def test_better_in_everything_passes_and_the_sentence_says_by_how_much() -> None:
    found = judge(table(), "latentrs")
    assert found["passed"] and failed(found) == set()
    assert "FID changes by -5" in found["reason"] and "(-50%)" in found["reason"]


@pytest.mark.parametrize(
    ("changes", "missing", "says"),
    [
        ({"fid": 9.9}, {"distance_better"}, "FID changes by -0.1"),
        ({"energy_distance": 0.99, "kid": 0.99}, {"unbiased_better"}, "no unbiased distance is shown better"),
        ({"kid": 1.2}, {"no_unbiased_worse"}, "KID changes by +0.2"),
        ({"energy_distance": 1.2}, {"no_unbiased_worse"}, "the energy distance changes by +0.2"),
        ({"recall": 0.76}, {"recall_kept"}, "a loss of more than 0.03"),
        ({"emd": 5.5}, {"emd_not_below_floor"}, "EMD lies 0.5"),
    ],
)
def test_each_fault_alone_rejects_and_is_named(changes: dict[str, float], missing: set[str], says: str) -> None:
    found = judge(table(**changes), "latentrs")
    assert not found["passed"] and failed(found) == missing
    assert says in found["reason"]


def test_one_unbiased_distance_that_improves_is_enough_where_the_other_is_not_worse() -> None:
    assert judge(table(kid=1.0), "latentrs")["passed"]
    assert judge(table(energy_distance=1.0), "latentrs")["passed"]


def test_an_improvement_must_lie_beyond_the_interval_as_well_as_the_minimum_effect() -> None:
    assert judge(table(fid=8.0), "latentrs")["distance_better"]
    assert not judge(table(fid=8.0, wobble=(-0.2, 0.0, 0.2)), "latentrs")["distance_better"]
    assert not judge(table(fid=8.0), "latentrs", limits=Limits(minimum_effect=0.25))["distance_better"]


def test_recall_above_that_of_real_data_is_no_virtue_to_be_kept() -> None:
    wide = (10.0, 1.0, 1.0, 0.95, 7.0)  # junk far out has large neighbourhoods
    assert judge(table(wide, recall=0.85), "latentrs")["passed"]
    assert failed(judge(table(wide, recall=0.76), "latentrs")) == {"recall_kept"}
    assert judge(table(recall=0.76), "latentrs", limits=Limits(max_recall_loss=0.05))["passed"]


def test_emd_below_the_floor_is_forgiven_to_weights_that_raise_it_from_further_below() -> None:
    average = (10.0, 1.0, 1.0, 0.80, 5.0)  # the prior's own junk is too average
    assert judge(table(average, emd=5.5), "latentrs")["passed"]
    assert failed(judge(table(average, emd=4.5), "latentrs")) == {"emd_not_below_floor"}


def test_seeds_are_counted_and_their_spread_is_an_interval() -> None:
    weights, priors = (
        {f"latentrs:{i}": {metric: [mean - 1, mean + 1] for metric in SEED_METRICS} for i, mean in enumerate(means)}
        for means in ((9.0, 9.0, 9.0), (10.0, 11.0, 12.0))
    )
    verdicts = {name: {"passed": name != "latentrs:0"} for name in weights}
    found = over_seeds(Table(weights, 100), Table(priors, 100), verdicts)
    assert (found["seeds"], found["passed"]) == (3, 2)
    fid = found["minus_prior"]["fid"]
    assert fid["mean"] == pytest.approx(-2) and fid["half_width"] == pytest.approx(5.64 / 3**0.5, rel=0.01)


def test_methods_that_a_bundle_cannot_do_are_left_out_with_the_reason() -> None:
    from torch import nn

    from tests.training.evaluation.constructed import bundle_around, weigh_by

    bundle = weigh_by(bundle_around(nn.Identity(), 2, 2), 0, 1.0)
    assert choose_methods(bundle, None)[0] == ["prior", "latentrs", "latentga", "latentrsga"]
    names, unavailable = choose_methods(bundle, ("drs", "truncation"))
    assert names == ["prior", "latentrs", "truncation"]
    assert unavailable["drs"].startswith("needs a network 'classifier'")


def test_of_raw_coordinates_emd_decides_in_the_place_of_fid_and_the_ladder_distance_counts_as_unbiased() -> None:
    def raw(emd: float, ladder: float = 0.5) -> Table:
        found = table(fid=10.0, energy_distance=1.0, kid=1.0, emd=emd)
        for values, mean in zip(found.values.values(), (0.0, 1.0, ladder), strict=True):
            values["ladder_distance"] = [mean] * len(WOBBLE)
        return found

    passed = judge(raw(emd=6.0), "latentrs")
    assert passed["passed"] and "EMD changes by -1" in passed["reason"]
    assert "the ladder distance changes by -0.5" in passed["reason"]
    assert failed(judge(raw(emd=6.9), "latentrs")) == {"distance_better"}
    assert failed(judge(raw(emd=6.0, ladder=1.0), "latentrs")) == {"unbiased_better"}
    assert failed(judge(raw(emd=6.0, ladder=1.5), "latentrs")) == {"unbiased_better", "no_unbiased_worse"}


@pytest.mark.parametrize(("dense", "kept"), [(0.80, True), (0.76, False)])
def test_where_recall_was_counted_densely_that_one_may_not_fall(dense: float, kept: bool) -> None:
    found = table(recall=0.70)
    assert recall_of(found) == "recall" and failed(judge(found, "latentrs")) == {"recall_kept"}
    for values, mean in zip(found.values.values(), (0.80, 0.80, dense), strict=True):
        values["dense_recall"] = [mean] * len(WOBBLE)
    judged = judge(found, "latentrs")
    assert judged["recall_kept"] == judged["passed"] == kept
    assert ("recall by +0.000" if kept else "recall changes by -0.040") in judged["reason"]
