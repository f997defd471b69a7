"""Block streams: a function of (seed, block number), and no two the same."""

from __future__ import annotations

import pytest

from sampling.streams import MAX_SEED, BlockStream


def first_numbers(stream: BlockStream, blocks: int) -> list[tuple[float, ...]]:
    return [tuple(stream.next().uniforms(1).squeeze(1).tolist()) for _ in range(blocks)]


def test_a_seed_gives_the_same_blocks_each_time() -> None:
    assert first_numbers(BlockStream(3, 8), 5) == first_numbers(BlockStream(3, 8), 5)


def test_no_two_blocks_of_no_two_seeds_are_the_same() -> None:
    seeds = [0, 1, 2, 5, 2**32, 2**32 + 5, 7 * 2**32 + 5, MAX_SEED]
    drawn = [numbers for seed in seeds for numbers in first_numbers(BlockStream(seed, 8), 10)]
    assert len(set(drawn)) == len(seeds) * 10


def test_without_a_seed_each_stream_is_new_and_says_its_seed() -> None:
    streams = [BlockStream(None, 8) for _ in range(20)]
    assert len({stream.seed for stream in streams}) == 20
    assert all(0 <= stream.seed <= MAX_SEED for stream in streams)
    assert first_numbers(streams[0], 3) == first_numbers(BlockStream(streams[0].seed, 8), 3)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=rf"the seed must lie in \[0, {MAX_SEED}\], not {seed}"):
        BlockStream(seed, 8)


def test_an_empty_block_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one proposal, not 0"):
        BlockStream(0, 0)


def test_seeds_that_share_their_low_32_bits_differ() -> None:
    """torch's CPU generator would give these three the same numbers."""
    drawn = {first_numbers(BlockStream(seed, 8), 1)[0] for seed in (1, 1 + 2**32, 1 + 2**62)}
    assert len(drawn) == 3
