"""Costs add up."""

from __future__ import annotations

from dataclasses import astuple

from sampling.draw import Cost


def test_costs_add_up_field_by_field() -> None:
    total = Cost(1, 2, 3, 4, 5, 6, 7) + Cost(10, 20, 30, 40, 50, 60, 70)
    assert astuple(total) == (11, 22, 33, 44, 55, 66, 77)
    assert Cost() + total == total


def test_the_acceptance_rate_is_accepted_over_proposed_also_of_a_sum() -> None:
    assert Cost(proposals=30, accepted=10).acceptance_rate == 1 / 3
    assert (Cost(proposals=30, accepted=10) + Cost(proposals=10, accepted=10)).acceptance_rate == 1 / 2
    assert Cost().acceptance_rate == 1.0
