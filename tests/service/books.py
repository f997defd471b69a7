"""The equation that holds whenever the device loop is idle."""

from __future__ import annotations

from service.engine.engine import Engine
from service.metrics.registry import WASTE


def books_balance(engine: Engine) -> bool:
    """Decoded rows = delivered rows + wasted rows, by reason, + decoded rows that wait in a supply."""
    value = engine.metrics.value
    models = list(engine.catalog.models)
    decoded, delivered, waiting = (
        sum(value(name, model=model) for model in models)
        for name in ("winnow_decoded_rows_total", "winnow_delivered_rows_total", "winnow_supply_rows")
    )
    wasted = sum(value("winnow_rows_wasted_total", reason=reason) for reason in WASTE)
    return decoded > 0 and waiting >= 0 and decoded == delivered + wasted + waiting
