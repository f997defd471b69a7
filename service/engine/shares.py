"""Who gets how many rows of the next batch."""

from __future__ import annotations

from collections.abc import Sequence


def fair_shares(wants: Sequence[int], rows: int) -> list[int]:
    """Split ``rows`` so that nobody gets more than wanted and no one small waits for someone large (max-min).

    The shares add up to min(rows, sum(wants)). Earlier wants get the odd rows.
    """
    shares = [0] * len(wants)
    left = min(rows, sum(wants))
    while left:
        hungry = [i for i, want in enumerate(wants) if shares[i] < want]
        quota = max(1, left // len(hungry))
        for i in hungry:
            given = min(quota, wants[i] - shares[i], left)
            shares[i] += given
            left -= given
    return shares
