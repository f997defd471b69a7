"""A training step's randomness depends on seed and step alone."""

from __future__ import annotations

import torch

from training.randomness import step_generator


def test_the_same_seed_and_step_give_the_same_numbers_and_no_other_pair_does() -> None:
    pairs = [(seed, step) for seed in range(6) for step in range(6)]
    draws = {pair: tuple(torch.rand(4, generator=step_generator(*pair)).tolist()) for pair in pairs}
    assert all(draws[pair] == tuple(torch.rand(4, generator=step_generator(*pair)).tolist()) for pair in pairs)
    assert len(set(draws.values())) == len(pairs)
