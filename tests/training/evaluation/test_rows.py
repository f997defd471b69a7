"""Which generated rows a number is made of, when there are more than the usual ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.importance import ImportanceNetwork
from tests.training.evaluation.constructed import bundle_around
from training.data.synthetic import standard_normal
from training.evaluation.blocks import MATCHED_SETS, PAIRED_PER_REAL, Rows, measure
from training.evaluation.compare import compare
from training.evaluation.report import Options, evaluate
from training.metrics.transport import emd
from training.pipeline import with_weights
from winnow.commands.evaluate import _print

DIM, REAL = 2, 100


def test_beyond_ten_rows_to_a_real_one_only_fid_reads_more() -> None:
    rng = torch.Generator().manual_seed(0)
    real = Rows(torch.randn(REAL, DIM, generator=rng), None)
    rows = torch.randn((PAIRED_PER_REAL + 5) * REAL, DIM, generator=rng)
    cut, every = (measure(real, Rows(part, None)) for part in (rows[: PAIRED_PER_REAL * REAL], rows))
    assert {name for name in cut if cut[name] != every[name]} == {"fid"}
    fewer = measure(real, Rows(rows[: PAIRED_PER_REAL * REAL - 1], None))
    assert {name for name in cut if cut[name] != fewer[name]} == {"fid", "energy_distance", "kid"}


def test_emd_is_the_mean_over_five_disjoint_sets_or_as_many_as_there_are() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.randn(REAL, DIM, generator=rng)
    rows = torch.randn((MATCHED_SETS + 1) * REAL, DIM, generator=rng)
    for metric, power in (("emd", 1), ("emd_squared", 2)):
        alone = [emd(real, part, power) for part in rows.split(REAL)]
        for given, used in ((MATCHED_SETS + 1, MATCHED_SETS), (3, 3), (1, 1)):
            found = measure(Rows(real, None), Rows(rows[: (given + 1) * REAL - 1], None))[metric]
            assert found == pytest.approx(sum(alone[:used]) / used, rel=1e-12)


def test_further_weights_keep_the_usual_rows_and_are_compared_at_as_many(capsys: pytest.CaptureFixture[str]) -> None:
    flat = ImportanceNetwork(DIM, (4,)).requires_grad_(False)
    bundle = with_weights(bundle_around(nn.Identity(), DIM, DIM), flat, "by hand")
    train, test = standard_normal(DIM, 2 * REAL, seed=1), standard_normal(DIM, REAL, seed=2)
    found = [
        evaluate(bundle, train, test, 0, torch.device("cpu"), {"other": flat}, Options((), rows_per_real=many))
        for many in (4, 8)
    ]
    assert [report["protocol"]["generated_rows_per_block"] for report in found] == [40, 80]
    assert [report["protocol"]["generated_rows_per_block_of_objectives"] for report in found] == [40, 40]
    sets = [{"generated": 4, "objectives": 4, "floor": 1}, {"generated": 5, "objectives": 4, "floor": 1}]
    assert [report["protocol"]["emd_sets_per_block"] for report in found] == sets
    few, many = (report["spaces"][0] for report in found)
    assert few["methods"]["prior"] != many["methods"]["prior"]
    assert few["methods"]["prior"] == few["objectives"]["methods"]["prior"]
    assert few["objectives"] == many["objectives"]
    _print(found[1])
    printed = capsys.readouterr().out
    assert printed.count("80 generated") == 1 and printed.count("40 generated") == 1


def test_dense_recall_does_not_take_junk_between_modes_for_coverage() -> None:
    rng = torch.Generator().manual_seed(0)

    def modes(n: int) -> torch.Tensor:
        return torch.randint(5, (n, DIM), generator=rng) + 0.02 * torch.randn(n, DIM, generator=rng)

    n, every = 10 * REAL, 100 * REAL
    real, floor, clean, own = modes(n), modes(every), modes(every), modes(every)
    made = torch.where(torch.rand(every, 1, generator=rng) < 0.7, 4 * torch.rand(every, DIM, generator=rng), own)
    few = own[own.sum(dim=1) < 6.5]  # without three modes in a corner
    sets = {"floor": floor, "prior": made, "latentrs": clean, "without": few}
    sets = {name: Rows(samples, None, raw=True) for name, samples in sets.items()}
    table = compare(Rows(real, None, raw=True), sets.pop("floor"), sets, blocks=5)
    change = table.paired("latentrs", "prior")
    assert change["recall"]["mean"] < -0.03 < change["dense_recall"]["mean"]
    assert table.paired("without", "latentrs")["dense_recall"]["mean"] < -0.03  # lost modes are seen


def test_recall_is_dense_of_raw_coordinates_alone_and_where_every_set_has_more_rows_than_the_data() -> None:
    def names(raw: bool, floor: int) -> set[str]:
        sets = [Rows(standard_normal(DIM, rows, seed=rows).samples, None, raw) for rows in (REAL, floor, 4 * REAL)]
        return set(compare(sets[0], sets[1], {"prior": sets[2]}, blocks=5).values["prior"])

    assert "dense_recall" in names(raw=True, floor=2 * REAL)
    assert "dense_recall" not in names(raw=True, floor=REAL) | names(raw=False, floor=2 * REAL)
