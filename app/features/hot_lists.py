"""Hot lists from history: the merchants to watch from a midnight on, for the rules.

The rules stand while no model can answer; on public data last midnight's hot merchants double their
average precision (.48, .22 without).
"""

# ruff: noqa: S608 - statements are made of names and numbers of our own

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from app.features.reference import HOT_LABELS, HOT_RATE
from app.features.snapshot_build import AS_OF, EventsBefore
from app.features.spec import Entity, FeatureSet
from app.features.sql import counter_sql, formula_sql, seen_sql

__all__ = ["hot_merchants", "hot_merchants_sql", "write_list"]

LABELS_INPUT = "merchant_fraud_7d_eod"
RATE_INPUT = "merchant_fraud_rate_28d_eod"


def hot_merchants(events: EventsBefore, features: FeatureSet) -> list[str]:
    """Merchants with enough labels in the week before the midnight and a high rate, in order.

    As `app.models.training.inputs.hot_merchants` finds them in a history to train on.

    Raises:
        HistoryError: the history cannot be read.
    """
    ids: list[str] = events.sql(hot_merchants_sql(events, features))["id"].to_pylist()
    return sorted(ids)


def hot_merchants_sql(events: EventsBefore, features: FeatureSet) -> str:
    """The query behind `hot_merchants`."""
    counters = features.batch_counters_of(Entity.MERCHANT)
    horizon_ms = features.snapshot_horizon_ms(Entity.MERCHANT)
    values = ", ".join(f"{counter_sql(c, as_of=AS_OF)} AS {c.name}" for c in counters)
    inputs = {feature.name: feature for feature in features.batch_features}
    labels, rate = (
        formula_sql(
            inputs[name], column={c.name: c.name for c in counters}, amount="nan", now=AS_OF
        )
        for name in (LABELS_INPUT, RATE_INPUT)
    )
    # Compared as the inputs of a model are, in single precision.
    return f"""
SELECT id
FROM (
    SELECT assumeNotNull(merchant) AS id, {values}
    FROM {events.table(horizon_ms)}
    WHERE isNotNull(merchant)
    GROUP BY id
    HAVING {seen_sql(counters, as_of=AS_OF, horizon_ms=horizon_ms)}
)
WHERE {labels} >= {HOT_LABELS} AND toFloat32({rate}) >= toFloat32({HOT_RATE})
"""


def write_list(path: Path, ids: Sequence[str]) -> None:
    """Write a list that rules read, one id a line, whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.stem}-{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.writelines(f"{id}\n" for id in ids)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
