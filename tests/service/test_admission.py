"""How long a request would wait, what its kind costs, and when to ask again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.admission import Line, Speeds, retry_after


def test_parked_bulk_costs_a_small_request_next_to_nothing() -> None:
    assert Line([1_000.0, 2_000.0]).wait(0.001) == pytest.approx(0.002)
    assert Line([10.0, 70.0]).wait(50.0) == pytest.approx(60.0)
    assert Line([]).wait(5.0) == Line([]).shortest == 0.0


@settings(deadline=None)
@given(st.lists(st.sampled_from((0.0, 1.0)) | st.floats(0, 1e6)), st.sampled_from((0.0, 1.0)) | st.floats(0, 1e6))
def test_a_request_waits_for_each_of_the_others_as_long_as_it_needs_itself_or_less(
    others: list[float], work: float
) -> None:
    line = Line(others)
    assert line.wait(work) == pytest.approx(sum(min(other, work) for other in others))
    assert line.shortest == min((seconds for seconds in others if seconds), default=0.0)


@pytest.mark.parametrize(("seconds", "header"), [(0.0, 1), (0.2, 1), (1.2, 2), (1e9, 600)])
def test_retry_after_is_whole_seconds_within_bounds(seconds: float, header: int) -> None:
    assert retry_after(seconds) == header


def test_speeds_follow_what_was_measured() -> None:
    speeds = Speeds()
    speed = speeds.of("prior", 0.5)
    assert speed.seconds == 0.5
    assert not speed.fresh(0.0), "a guess"
    speed.measured(10, 1.0, now=5.0)
    assert speed.fresh(5.0) and speed.fresh(65.0) and not speed.fresh(65.1)
    assert speeds.of("prior", 0.5).seconds == pytest.approx(0.1)
    for _ in range(100):
        speed.measured(10, 2.0, now=6.0)
    assert speeds.of("prior", 0.5).seconds == pytest.approx(0.2, rel=1e-3)


def test_kinds_that_never_come_again_are_forgotten() -> None:
    speeds = Speeds(most=3)
    kept = speeds.of(0, 1.0)
    for kind in range(1, 10):
        speeds.of(kind, 1.0)
        assert speeds.of(0, 2.0) is kept
    assert speeds.of(1, 2.0).seconds == 2.0
