"""What /metrics says: differences over a load, the time of a batch, and the books."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving.processes import Server

Key = tuple[str, frozenset[tuple[str, str]]]
SETTLE_SECONDS, POLL_SECONDS = 30.0, 0.1
# Not wasted by anybody: a fixed shape's empty places, and what a method must decode in order to choose.
NECESSARY_WASTE = ("padding", "rejected")


@dataclass(frozen=True)
class Exposition:
    """Samples of one scrape, or of the difference of two."""

    values: dict[Key, float]

    def total(self, name: str, **labels: str) -> float:
        """Sum over all series of this exposed name that carry these labels; 0 without any."""
        wanted = set(labels.items())
        return sum(value for (key, given), value in self.values.items() if key == name and wanted <= given)

    def by(self, name: str, label: str) -> dict[str, float]:
        """The series of a name that are not 0, by one label."""
        found: dict[str, float] = {}
        for (key, given), value in self.values.items():
            if key == name and value:
                choice = dict(given).get(label, "")
                found[choice] = found.get(choice, 0.0) + value
        return found

    def since(self, earlier: Exposition) -> Exposition:
        return Exposition({key: value - earlier.values.get(key, 0.0) for key, value in self.values.items()})


class Books(NamedTuple):
    """Decoded rows = delivered rows + wasted rows + decoded rows that wait."""

    decoded: float
    delivered: float
    wasted: float
    waiting: float

    @property
    def balance(self) -> bool:
        return self.decoded == self.delivered + self.wasted + self.waiting


def parse(text: str) -> Exposition:
    """The text that Prometheus reads."""
    families = text_string_to_metric_families(text)
    return Exposition({(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples})


def scrape(server: Server) -> Exposition:
    return parse(server.get_text("/metrics"))


def books(page: Exposition) -> Books:
    return Books(
        page.total("winnow_decoded_rows_total"),
        page.total("winnow_delivered_rows_total"),
        page.total("winnow_rows_wasted_total"),
        page.total("winnow_supply_rows"),
    )


def settled(server: Server) -> Exposition:
    """A scrape after the queue is empty and the books balance, or the last one of ``SETTLE_SECONDS``."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        page = scrape(server)
        idle = page.total("winnow_queue_rows") == 0 and books(page).balance
        if idle or time.monotonic() > deadline:
            return page
        time.sleep(POLL_SECONDS)


def batch_seconds(page: Exposition) -> float:
    """Mean time of a generator call; NaN when there was none."""
    calls = page.total("winnow_stage_duration_seconds_count", stage="decode")
    return page.total("winnow_stage_duration_seconds_sum", stage="decode") / calls if calls else float("nan")


def batch_rows(page: Exposition) -> float:
    """Mean rows of a generator call; NaN when there was none."""
    calls = page.total("winnow_batch_rows_count")
    return page.total("winnow_batch_rows_sum") / calls if calls else float("nan")


def avoidable_waste(page: Exposition) -> float:
    """Wasted rows that a better server would not have decoded."""
    wasted = page.by("winnow_rows_wasted_total", "reason")
    return sum(rows for reason, rows in wasted.items() if reason not in NECESSARY_WASTE)
