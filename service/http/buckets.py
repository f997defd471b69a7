"""Token buckets: pure, the clock is the caller's."""

from __future__ import annotations

from dataclasses import dataclass

# Of the capacity: what a wait computed in floating point may be short of.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Rate:
    """Tokens come at ``per_second``; ``capacity`` of them wait at most."""

    per_second: float
    capacity: float


@dataclass(frozen=True)
class Bucket:
    """``level`` tokens at time ``at`` (seconds); below 0 is a debt."""

    level: float
    at: float


def full(rate: Rate, now: float) -> Bucket:
    return Bucket(rate.capacity, now)


def take(bucket: Bucket, rate: Rate, amount: float, now: float) -> tuple[Bucket, float]:
    """The bucket without ``amount`` tokens and 0, or the bucket as it is and the seconds until they are there.

    More than the capacity is taken from a full bucket and leaves a debt: a request larger than the burst is served
    too, and the rate holds all the same. Over any T seconds at most capacity + T * rate + one amount are taken.
    """
    bucket = refilled(bucket, rate, now)
    needed = min(amount, rate.capacity)
    if bucket.level < needed - ROUNDING * rate.capacity:
        return bucket, (needed - bucket.level) / rate.per_second
    return Bucket(bucket.level - amount, bucket.at), 0.0


def give_back(bucket: Bucket, rate: Rate, amount: float, now: float) -> Bucket:
    """``amount`` tokens were taken and not used."""
    bucket = refilled(bucket, rate, now)
    return Bucket(min(rate.capacity, bucket.level + amount), bucket.at)


def refilled(bucket: Bucket, rate: Rate, now: float) -> Bucket:
    """The bucket at ``now``; a clock that goes back changes nothing."""
    if now <= bucket.at:
        return bucket
    return Bucket(min(rate.capacity, bucket.level + (now - bucket.at) * rate.per_second), now)
