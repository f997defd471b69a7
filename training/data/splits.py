"""The test split of data that comes without one."""

from __future__ import annotations

import torch

from training.data.dataset import DataError, Dataset

TEST_SHARE = 6  # one row in six is a test row
LEAST_ROWS = 2
SPLIT_SEED = 11


def sixth(data: Dataset, split: str) -> Dataset:
    """The rows of ``split``, "train" or "test", of data that has no split of its own.

    A fixed random sixth (at least 2 rows) is the test split and the rest the train split, both shuffled (files are
    often sorted by class): disjoint, complete, and a function of the number of rows alone. Raises DataError below
    4 rows.
    """
    rows = len(data)
    held_out = max(rows // TEST_SHARE, LEAST_ROWS)
    if rows - held_out < LEAST_ROWS:
        raise DataError(
            f"{data.name}: {rows} samples without a test split of their own; at least {2 * LEAST_ROWS} are needed to "
            "set some aside for testing: add samples, or give train and test apart"
        )
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(SPLIT_SEED))
    part = order[:held_out] if split == "test" else order[held_out:]
    return data.subset(part)
