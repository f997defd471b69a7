"""The numbers of the load programs: percentiles, intervals, arrivals, metrics, verdicts, flags."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serve import PROGRAMS, build_parser, main
from benchmarks.serving import drain, mixed
from benchmarks.serving.abilities import Abilities, sample_target
from benchmarks.serving.client import Answer, Ask
from benchmarks.serving.estimates import bootstrap_difference, quantile, ratio_interval, segment_means, slope_interval
from benchmarks.serving.exposition import Books, avoidable_waste, batch_rows, batch_seconds, books, parse
from benchmarks.serving.load import Outcome, poisson
from benchmarks.serving.machine import Moment, moment, others
from benchmarks.serving.overload import Decoded, retry_after
from benchmarks.serving.processes import Server, family
from benchmarks.serving.report import Report, markdown_table
from benchmarks.serving.timing import LATE, OUTSIDE, REST, parts, where_time_went

PAGE = """
winnow_decoded_rows_total{model="a"} 100.0
winnow_decoded_rows_total{model="b"} 20.0
winnow_delivered_rows_total{model="a"} 90.0
winnow_rows_wasted_total{reason="padding"} 7.0
winnow_rows_wasted_total{reason="cancelled"} 13.0
winnow_supply_rows{model="a"} 10.0
winnow_stage_duration_seconds_sum{stage="decode"} 0.5
winnow_stage_duration_seconds_count{stage="decode"} 10.0
winnow_stage_duration_seconds_sum{stage="queue"} 9.0
winnow_stage_duration_seconds_count{stage="queue"} 1.0
winnow_batch_rows_sum 120.0
winnow_batch_rows_count 10.0
"""


def test_a_percentile_is_a_value_that_was_measured_or_nothing() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [quantile(values, q) for q in (0.5, 0.9, 0.99)] == [50.0, 90.0, 99.0]
    assert quantile(values, 0.999) is None
    assert quantile([], 0.5) is None


def test_the_interval_of_a_ratio_covers_it_and_turns_around_with_its_sides() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(1, 5, 20)
    ours = (0.8 * base * np.exp(rng.normal(0, 0.1, 20))).tolist()
    found, back = ratio_interval(ours, base.tolist()), ratio_interval(base.tolist(), ours)
    assert found.low < 0.8 < found.high < 1 < back.low
    assert found.value == pytest.approx(1 / back.value)
    assert found.pairs == 20
    with pytest.raises(ValueError, match="differ in number"):
        ratio_interval([1.0], [1.0, 2.0])


def test_the_interval_of_a_ratio_misses_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(400):
        found = ratio_interval(np.exp(rng.normal(0, 0.3, 20)).tolist(), [1.0] * 20)
        missed += not found.low <= 1 <= found.high
    assert 2 <= missed <= 26  # 12 expected


def test_a_bootstrapped_difference_of_medians_covers_it() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.exponential(1, (30, 10)) + 2, rng.exponential(1, (30, 10))
    found = bootstrap_difference(ours.tolist(), theirs.tolist())
    assert found.low < 2 < found.high
    assert found.high - found.low < 1.5
    with pytest.raises(ValueError, match="at least 2"):
        bootstrap_difference([[1.0]], [[1.0]])


def test_a_slope_covers_the_true_one_and_flat_is_told_from_growing() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(400.0)
    flat, growing = rng.normal(0, 5, 400), 0.1 * times + rng.normal(0, 5, 400)
    for values, true in ((flat, 0.0), (growing, 0.1)):
        found = slope_interval(segment_means(times.tolist(), 10), segment_means(values.tolist(), 10))
        assert abs(found.mean - true) <= found.half_width < 0.03
    with pytest.raises(ValueError, match="at least 3"):
        slope_interval([1, 2], [1, 2])


def test_poisson_arrivals_have_their_rate_and_its_spread() -> None:
    rng = np.random.default_rng(0)
    counts = [len(poisson(5.0, 10.0, rng)) for _ in range(500)]
    assert np.mean(counts) == pytest.approx(50, abs=1)
    assert np.var(counts) == pytest.approx(50, rel=0.25)
    times = poisson(100.0, 10.0, rng)
    assert times == sorted(times) and times[0] >= 0 and times[-1] < 10
    with pytest.raises(ValueError, match="must be positive"):
        poisson(0.0, 1.0, rng)


def test_the_metrics_page_is_read_as_prometheus_reads_it() -> None:
    page = parse(PAGE)
    assert books(page) == Books(decoded=120, delivered=90, wasted=20, waiting=10)
    assert books(page).balance
    assert not Books(120, 90, 20, 9).balance
    assert (batch_seconds(page), batch_rows(page)) == (0.05, 12.0)
    assert avoidable_waste(page) == 13
    later = parse(PAGE.replace("100.0", "150.0")).since(page)
    assert later.by("winnow_decoded_rows_total", "model") == {"a": 50.0}
    assert np.isnan(batch_seconds(later)) and np.isnan(batch_rows(later))


def answer(status: int | None, sent: float, error: str | None = None, **headers: str) -> Answer:
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, None, 0, sent, sent + 1, error
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(200, 5), "answered"),
        (answer(200, 9.5), "answered after the signal"),
        (answer(503, 9.9, retry_after="5"), "refused"),
        (answer(503, 11, retry_after="5"), "refused"),
        (answer(503, 11), "LOST: refused without Retry-After"),
        (answer(503, 5, retry_after="5"), "LOST: refused although it came before the signal"),
        (answer(500, 11), "LOST: answered 500"),
        (answer(200, 11, "cut short"), "LOST: cut short"),
        (answer(None, 5, "closed without an answer"), "LOST: closed without an answer"),
        (answer(None, 11, "no connection: refused"), "turned away without an answer"),
    ],
)
def test_what_a_shutdown_may_do_to_a_request(given: Answer, expected: str) -> None:
    assert drain.verdict(Outcome(Ask("/"), given.sent, given), signalled=10.0) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0", 0.0), ("-1", None), ("soon", None), ("nan", None), ("inf", None), (None, None)],
)
def test_a_retry_after_that_says_nothing_counts_as_missing(text: str | None, seconds: float | None) -> None:
    headers = {} if text is None else {"retry_after": text}
    assert retry_after(answer(503, 0, **headers)) == seconds


def test_a_mixed_load_is_drawn_from_its_seed_with_the_shares_asked_for() -> None:
    able = Abilities("m", frozenset(), ("png", "npz"), ("prior",), "f")
    settings = mixed.Settings(seconds=200, hang_ups=0.2, slow=0.5, load=0.5)
    arrivals = mixed.draw(settings, able, rate=1_000.0)
    assert arrivals == mixed.draw(settings, able, rate=1_000.0)
    asks = [ask for _, ask in arrivals]
    images = sum(ask.n for ask in asks)
    assert images == pytest.approx(200 * 0.5 * 1_000, rel=0.4)  # ten or so requests for 10,000 hold half of it
    assert sum(ask.hang_up is not None for ask in asks) / len(asks) == pytest.approx(0.2, abs=0.02)
    assert not any(ask.read_rate for ask in asks if ask.n == 1)
    slow = [ask.read_rate is not None for ask in asks if ask.n == 64 and ask.hang_up is None]
    assert np.mean(slow) == pytest.approx(0.5, abs=0.08)


def test_a_target_leaves_out_what_is_none() -> None:
    assert sample_target(3, method=None, seed=0, format="npz") == "/sample?n=3&seed=0&format=npz"


def test_a_process_knows_its_family_and_somebody_elses_server_is_not_measured() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in family(os.getpid())
    finally:
        child.communicate(b"\n")
    assert np.isnan(Server("127.0.0.1", 1).cpu_seconds())
    assert np.isnan(Server("127.0.0.1", 1).resident_bytes())


def test_the_share_of_other_processes_is_what_is_busy_and_not_ours(tmp_path: Path) -> None:
    assert others(Moment(0, 10, 1), Moment(10, 25, 6)) == 1.0
    assert others(Moment(0, 10, 1), Moment(10, 11, 6)) == 0.0
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 50 900 30 5 5 0 70 0\ncpu0 1 1 1 1\n")
    assert moment(stat).busy * os.sysconf("SC_CLK_TCK") == 160


def test_a_broken_law_fails_always_and_an_unmet_goal_only_when_strict() -> None:
    report = Report("title", tables=[markdown_table(("a", "b"), [("1", "2")])])
    report.goal("fast", False)
    assert report.passed(strict=False) and not report.passed(strict=True)
    report.goal("exact", False, law=True)
    assert not report.passed(strict=False)
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in report.markdown()
    assert "- NOT MET: exact" in report.markdown()
    with pytest.raises(ValueError, match="a row of 1 cells"):
        markdown_table(("a", "b"), [("1",)])


def test_every_dial_is_a_flag_with_its_type() -> None:
    args = build_parser().parse_args(["hangups", "--sizes", "1", "64", "--hang-ups", "0.5", "--method", "prior"])
    assert (args.sizes, args.hang_ups, args.method, args.requests) == ([1, 64], 0.5, "prior", None)
    for program in PROGRAMS:
        assert build_parser().parse_args([program, "--threads", "1"]).threads == 1


def test_the_help_says_of_each_program_what_it_measures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "ceiling What the client itself can do" in told
    for work, _ in PROGRAMS.values():
        assert told.count((sys.modules[work.__module__].__doc__ or "").strip().splitlines()[0]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["drain", "--url", "http://127.0.0.1:1"], "leave --url out"),
        (["seeds", "--url", "nonsense"], "is no URL"),
        (["seeds", "--bundle", "nowhere"], "no folder nowhere"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--threads", "1"]) == 2
    assert says in capsys.readouterr().err


def test_results_are_written_as_json_without_nan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: object) -> Report:
        return Report("t", facts={"nothing": float("nan"), "some": (1, 2.5)})

    monkeypatch.setitem(PROGRAMS, "ceiling", (found, PROGRAMS["ceiling"][1]))
    path = tmp_path / "found.json"
    assert main(["ceiling", "--threads", "1", "--json", str(path)]) == 0
    facts = json.loads(path.read_text())["facts"]
    assert (facts["nothing"], facts["some"]) == (None, [1, 2.5])


def test_what_was_decoded_under_a_load_and_wasted_then_or_later_is_no_goodput() -> None:
    first, last = Books(100.0, 90.0, 10.0, 0.0), Books(700.0, 400.0, 40.0, 260.0)
    settled = Books(760.0, 670.0, 60.0, 30.0)
    assert Decoded(first, last, 10.0).useful(settled) == (600 - 50 - 30) / 10


def timed(latency: float, said: str, lag: float = 0.0) -> Outcome:
    answer = Answer(200, {"server-timing": said} if said else {}, None, 1, sent=5.0 + lag, finished=5.0 + latency)
    return Outcome(Ask("/"), 5.0, answer)


def test_the_parts_of_a_latency_make_up_all_of_it() -> None:
    found = parts(timed(0.1, "queue;dur=20.00, decode;dur=30.00, total;dur=60.00", lag=0.01))
    assert found == pytest.approx({"queue": 0.02, "decode": 0.03, REST: 0.01, OUTSIDE: 0.03, LATE: 0.01})
    assert parts(timed(0.1, "")) == pytest.approx({REST: 0.0, OUTSIDE: 0.1, LATE: 0.0})


def test_the_slowest_are_told_apart_from_all() -> None:
    quick = [timed(0.012, "queue;dur=1.0, total;dur=10.0") for _ in range(99)]
    lines = where_time_went([*quick, timed(0.112, "decode;dur=100.0, total;dur=110.0")]).splitlines()
    assert lines[0] == f"| n = 1, mean ms | queue | decode | {REST} | {OUTSIDE} | {LATE} | together | requests |"
    assert lines[2] == "| all | 1.0 | 1.0 | 9.0 | 2.0 | 0.0 | 13.0 | 100 |"
    assert lines[3] == "| slowest 1% | 0.0 | 100.0 | 10.0 | 2.0 | 0.0 | 112.0 | 1 |"
