"""Seeded streams: sample i is the same wherever one begins, however many one takes, and what it costs is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import Bundle, load_bundle
from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block
from sampling.draw import Cost, Draw, RejectionStalled
from sampling.latentrs import propose_latentrs
from sampling.methods import METHODS, bind
from sampling.prior import propose_prior
from sampling.sampler import BlockSizes, Sampler
from sampling.seeded import MAX_INDEX, SEEDED_SIZES, SeededStream, deal, draw_seeded, window_size
from sampling.streams import MAX_SEED, BlockStream, Stream
from tests.sampling.laws import constant, known
from tests.sampling.test_latentrs import NORMAL, gaussian_bump

FAR = 2**40
BUNDLE = Path(__file__).parents[2] / "bundles" / "gaussians-25"


def latentrs(importance: ImportanceNetwork, acceptance: float | None = 1 / 3, prior: Prior = NORMAL) -> Sampler:
    return Sampler("latentrs", partial(propose_latentrs, prior, importance), 128, expected_acceptance=acceptance)


BUMP = latentrs(known(gaussian_bump, cap=3.0))


@cache
def gaussians() -> Bundle:
    return load_bundle(BUNDLE)


def same(first: Draw, second: Draw) -> bool:
    return all(
        (one is None and two is None) or (one is not None and two is not None and torch.equal(one, two))
        for one, two in ((getattr(first, name), getattr(second, name)) for name in ("latents", "weights", "samples"))
    )


def part(drawn: Draw, which: slice) -> Draw:
    kept = (None if rows is None else rows[which] for rows in (drawn.latents, drawn.weights, drawn.samples))
    latents, weights, samples = kept
    assert latents is not None
    return Draw(latents, weights, drawn.cost, samples)


@pytest.mark.parametrize("method", METHODS)
def test_of_every_method_fewer_samples_begin_more_and_an_offset_enters_among_them(method: str) -> None:
    sampler = bind(gaussians(), method, sizes=SEEDED_SIZES)
    longer = draw_seeded(sampler, 64, seed=5)
    assert len(longer.latents) == 64 and len(torch.unique(longer.latents, dim=0)) == 64
    assert same(draw_seeded(sampler, 10, seed=5), part(longer, slice(0, 10)))
    assert same(draw_seeded(sampler, 7, seed=5, offset=41), part(longer, slice(41, 48)))
    assert not same(draw_seeded(sampler, 10, seed=6), part(longer, slice(0, 10)))


def neighbourly(stream: Stream) -> Block:
    """A method whose every bit depends on where a row lies and what lies beside it, as torch's may."""
    block = propose_latentrs(NORMAL, known(gaussian_bump, cap=3.0), stream)
    latents = block.latents + block.latents.mean() + 1e-3 * block.rows[:, None]
    return replace(block, latents=latents, samples=latents * 2)


@pytest.mark.parametrize("propose", [BUMP.propose, neighbourly])
def test_any_offset_is_random_access_even_where_neighbours_matter(propose: object) -> None:
    sampler = replace(BUMP, propose=propose)  # type: ignore[arg-type]
    window = window_size(sampler)
    assert window == 85
    for base in (0, FAR - FAR % window):
        whole = draw_seeded(sampler, 2 * window + 9, seed=1, offset=base)
        for offset in (0, 1, window - 1, window, window + 1, 2 * window + 3):
            n = 5 if offset > window else window + 2
            assert same(draw_seeded(sampler, n, 1, base + offset), part(whole, slice(offset, offset + n)))
    assert not same(draw_seeded(sampler, 9, 1, 0), draw_seeded(sampler, 9, 1, FAR))


def test_how_the_samples_are_taken_does_not_matter() -> None:
    whole, stream = draw_seeded(BUMP, 300, seed=1, offset=100), SeededStream(BUMP, 1, offset=100)
    taken: list[Draw] = []
    while sum(len(drawn.latents) for drawn in taken) < 300:
        before = stream.ready
        settled = stream.step().settled
        assert settled and stream.ready >= before
        while stream.ready > 40:  # some stays behind, across the windows' ends
            taken.append(stream.take(min(37, stream.ready)))
    for name in ("latents", "weights"):
        pieces = torch.cat([getattr(drawn, name) for drawn in taken])
        assert torch.equal(pieces[:300], getattr(whole, name))


@given(
    sought=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=30, unique_by=lambda x: x[0]
    ),
    units=st.integers(1, 40),
)
def test_units_are_dealt_evenly_in_order_and_no_attempt_twice(sought: list[tuple[int, int]], units: int) -> None:
    pending, tried = np.array(sorted(sought)).T
    samples, attempts = deal(pending, tried, units)
    assert len(samples) == len(attempts) == units
    dealt = list(zip(samples.tolist(), attempts.tolist(), strict=True))
    assert dealt == sorted(set(dealt))
    counts = [samples.tolist().count(sample) for sample in pending]
    assert counts == sorted(counts, reverse=True) and max(counts) - min(counts) <= 1
    for sample, before, count in zip(pending, tried, counts, strict=True):
        assert [a for s, a in dealt if s == sample] == list(range(before, before + count))


@pytest.mark.parametrize(
    ("block", "unit", "expected", "window"),
    [
        (128, 1, 1.0, 128),
        (128, 1, None, 128),
        (128, 1, 1 / 3, 85),
        (512, 1, 0.01, 10),
        (4, 1, 0.9, 7),
        (32, 1, 1e-4, 1),
        (49, 49, 1 / 49, 1),  # 49 * (1 / 49) < 1
        (98, 49, 1 / 49, 2),
    ],
)
def test_a_window_is_what_two_blocks_accept_or_one_block_of_a_method_that_rejects_nothing(
    block: int, unit: int, expected: float | None, window: int
) -> None:
    sampler = Sampler("any", BUMP.propose, block, expected_acceptance=expected, unit=unit)
    assert window_size(sampler) == window


def test_a_method_that_rejects_nothing_costs_nothing_beyond_its_samples() -> None:
    sampler = Sampler("prior", partial(propose_prior, NORMAL, None), 32, expected_acceptance=1.0)
    assert draw_seeded(sampler, 96, seed=0).cost == Cost(96, 96)
    assert draw_seeded(sampler, 1, seed=0, offset=31).cost == Cost(32, 32)


def test_every_block_has_the_one_shape_and_the_books_add_up() -> None:
    stream, settled, cost = SeededStream(BUMP, 3), 0, Cost()
    while stream.ready < 400:
        found = stream.step()
        assert found.block.cost.proposals == 128 and found.settled <= found.block.cost.accepted == len(found.block.rows)
        settled, cost = settled + found.settled, cost + found.block.cost
    assert settled >= 400 and stream.cost == cost and cost.accepted > settled
    assert stream.take(400).cost == cost


def test_a_weight_of_zero_everywhere_ends_in_an_error_that_says_so() -> None:
    stream, blocks = SeededStream(latentrs(constant(0.0, 3.0)), 0, max_proposals=20), 0
    with pytest.raises(
        RejectionStalled, match=r"latentrs accepted 0 of 2048 proposals, a rate of 0; at least one in 20"
    ):
        while True:
            assert stream.step().settled == stream.ready == 0
            blocks += 1
    assert blocks == 2_048 // 128  # the first multiple of a block beyond a hundred samples' worth


@pytest.mark.parametrize(("allowed", "stalls"), [(50, True), (200, False)])
def test_the_limit_is_on_what_a_sample_costs_on_average(allowed: int, stalls: bool) -> None:
    sampler = latentrs(constant(0.01, 1.0), 0.01)
    if stalls:
        with pytest.raises(RejectionStalled, match=r"limits.max_proposals_per_sample\): use method=prior"):
            draw_seeded(sampler, 400, 1, max_proposals=allowed)
    else:
        assert len(draw_seeded(sampler, 400, 1, max_proposals=allowed).latents) == 400


@pytest.mark.parametrize(
    ("seed", "offset", "says"),
    [
        (-1, 0, "the seed must lie in"),
        (MAX_SEED + 1, 0, "the seed must lie in"),
        (0, -1, r"the offset must lie in \[0, "),
        (0, MAX_INDEX, r"the offset must lie in \[0, "),
    ],
)
def test_a_seed_or_an_offset_out_of_range_is_refused(seed: int, offset: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SeededStream(BUMP, seed, offset)


def test_the_largest_seed_and_the_last_offset_work() -> None:
    drawn = draw_seeded(BUMP, 300, MAX_SEED, MAX_INDEX - 1)
    assert len(torch.unique(drawn.latents, dim=0)) == 300
    assert not same(drawn, draw_seeded(BUMP, 300, MAX_SEED - 2**32, MAX_INDEX - 1))  # the key's upper half counts


@pytest.mark.parametrize("method", METHODS)
def test_every_block_says_which_of_its_units_came_out(method: str) -> None:
    sampler = bind(gaussians(), method)
    block = sampler.propose(BlockStream(4, sampler.block))
    rows = block.rows.tolist()
    assert rows == sorted(set(rows)) and len(rows) == len(block.latents) == block.cost.accepted
    assert all(0 <= row < sampler.units for row in rows)
    if sampler.expected_acceptance == 1 / sampler.unit:
        assert rows == list(range(sampler.units))


@pytest.mark.parametrize(("method", "size"), [("latentrs", 128), ("simplicial", 128), ("jbt", 64), ("drs", 512)])
def test_the_rows_are_those_whose_latents_came_out(method: str, size: int) -> None:
    sampler = bind(gaussians(), method, sizes=BlockSizes(latents=size, decoded=size))
    block = sampler.propose(BlockStream(4, sampler.block))
    proposals = gaussians().prior.draw(BlockStream(4, sampler.block).next())
    assert len(block.rows) and block.rows[-1] >= len(block.rows)
    assert torch.equal(proposals[block.rows], block.latents)


def test_the_rows_of_an_ascent_are_those_of_the_rejection_before_it() -> None:
    sampler = bind(gaussians(), "latentrsga")
    assert gaussians().importance is not None
    accepted = propose_latentrs(gaussians().prior, gaussians().importance, BlockStream(4, sampler.block))
    assert torch.equal(sampler.propose(BlockStream(4, sampler.block)).rows, accepted.rows)
