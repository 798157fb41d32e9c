"""Arrow tables beside the attempts: outcomes, labels, the merchant directory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.simulator.config import SimulatorConfig
from app.simulator.ids import opaque_ids
from app.simulator.labels import LABELS, SOURCES, Labels, Settled, reason_of
from app.simulator.merchants import CATEGORIES, RISK_BANDS, TIERS
from app.simulator.outcomes import ISSUER_CODES, OUTCOME_KINDS, Outcomes
from app.simulator.tables import instants, words
from app.simulator.world import World

__all__ = ["labels_table", "merchants_table", "outcomes_table"]


def outcomes_table(config: SimulatorConfig, outcomes: Outcomes, *, first_row: int) -> pa.Table:
    """The outcomes of one day's attempts, sorted by receipt; rows are numbered from `first_row`."""
    row = outcomes.attempt + first_row
    size = len(row)
    declined = outcomes.kind == OUTCOME_KINDS.index("issuer_declined")
    return pa.table(
        {
            "outcome_id": opaque_ids("out_", config.seed, row * len(OUTCOME_KINDS) + outcomes.kind),
            "attempt_id": opaque_ids("att_", config.seed, row),
            "kind": words(OUTCOME_KINDS, outcomes.kind),
            "occurred_at": instants(outcomes.occurred_ms),
            "received_at": instants(outcomes.received_ms),
            "issuer_code": words(ISSUER_CODES, outcomes.code, declined),
            "amount__value": pa.array(outcomes.cents),
            "amount__currency": words(["USD"], np.zeros(size, dtype=np.int64)),
        }
    )


def labels_table(config: SimulatorConfig, labels: Labels, settled: Settled) -> pa.Table:
    """The labels, sorted by arrival."""
    return pa.table(
        {
            "label_id": opaque_ids("lab_", config.seed, np.arange(len(labels.attempt))),
            "attempt_id": opaque_ids("att_", config.seed, labels.attempt),
            "label": words(LABELS, labels.label),
            "source": words(SOURCES, labels.source),
            "reason_code": pa.array(reason_of(labels, settled), pa.string()),
            "event_at": instants(labels.event_ms),
            "arrived_at": instants(labels.arrived_ms),
        }
    )


def merchants_table(config: SimulatorConfig, world: World) -> pa.Table:
    """The merchant directory, in the order of row numbers."""
    merchants = world.merchants
    return pa.table(
        {
            "merchant_id": opaque_ids("mer_", config.seed, np.arange(len(merchants.category))),
            "tier": words(TIERS, merchants.tier),
            "category": words([category.name for category in CATEGORIES], merchants.category),
            "country": words(world.geography.codes, merchants.country),
            "region": words(
                [mix.name for mix in config.regions], world.geography.region[merchants.country]
            ),
            "first_seen": instants(merchants.opened_ms),
            "risk_band": words(RISK_BANDS, merchants.risk_band, merchants.has_risk_band),
            "chargeback_rate_90d": pc.if_else(
                pa.array(merchants.has_chargeback_rate), pa.array(merchants.chargeback_rate), None
            ),
        }
    )
