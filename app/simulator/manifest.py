"""What a simulation was asked for and what was made, beside the data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.simulator.arrays import DAY_MS
from app.simulator.campaigns import PATTERNS
from app.simulator.checks import CUSTOMER_HISTORY, CUSTOMER_HISTORY_MISSING, THREE_DS_SHARE
from app.simulator.config import SimulatorConfig
from app.simulator.labels import DELAYS, LABELS, SOURCES, Labels, Settled
from app.simulator.merchants import MERCHANT_RISK, MERCHANT_RISK_MISSING
from app.simulator.outcomes import DECLINED

__all__ = ["AGES_DAYS", "GENERATOR_VERSION", "Summary", "labels_by_age", "write_manifest"]

# Grows with every change that gives other content for the same configuration.
GENERATOR_VERSION = 2

AGES_DAYS = (7, 30, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was made.

    Attributes:
        folder: where.
        attempts: all attempts.
        fraud: fraudulent attempts by pattern.
        labels: labels and corrections, those that arrive after the last day included.
        outcomes: by kind, those after the last day included.
        merchants: merchants in the directory.
    """

    folder: Path
    attempts: int
    fraud: dict[str, int]
    labels: int
    outcomes: dict[str, int]
    merchants: int

    @property
    def fraud_rate(self) -> float:
        """Share of fraudulent attempts."""
        return sum(self.fraud.values()) / self.attempts


def labels_by_age(labels: Labels, settled: Settled) -> dict[str, dict[str, dict[str, int]]]:
    """Fraud labels that had arrived so many days after their attempt, by pattern and source.

    Of genuine attempts they are false alarms. Corrections are not taken off.
    """
    fraud = labels.label == LABELS.index("fraud")
    attempt, source = labels.attempt[fraud], labels.source[fraud]
    pattern = settled.pattern[attempt]
    age_ms = labels.arrived_ms[fraud] - settled.at_ms[attempt]
    return {
        name: {
            of: {
                f"day_{days}": int(np.sum(here & (source == at) & (age_ms <= days * DAY_MS)))
                for days in AGES_DAYS
            }
            for at, of in enumerate(SOURCES)
        }
        for position, name in enumerate(PATTERNS)
        if (here := pattern == position).any()
    }


def write_manifest(
    config: SimulatorConfig, summary: Summary, labelled: dict[str, dict[str, dict[str, int]]]
) -> None:
    """Write `manifest.json`. Holds no time of making: same seed, same file."""
    manifest = {
        "generator_version": GENERATOR_VERSION,
        "seed": config.seed,
        "config": dataclasses.asdict(config)
        | {
            "start": config.start.isoformat(),
            "merchants": config.merchant_count,
            "customers": config.customer_count,
        },
        "rules": _rules(),
        "counts": {
            "attempts": summary.attempts,
            "fraud": summary.fraud,
            "labels": summary.labels,
            "fraud_labels_by_age": labelled,
            "outcomes": summary.outcomes,
            "merchants": summary.merchants,
        },
    }
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (summary.folder / "manifest.json").write_text(text, encoding="utf-8")


def _rules() -> dict[str, Any]:
    """What holds for every simulation of this version."""
    return {
        "missing": {
            "merchant_risk": {
                "share": MERCHANT_RISK_MISSING,
                "columns": [f"merchants.{name}" for name in MERCHANT_RISK],
            },
            "customer_history": {
                "share": CUSTOMER_HISTORY_MISSING,
                "of": "attempts with a customer",
                "columns": [f"attempts.{name}" for name in CUSTOMER_HISTORY],
            },
        },
        "label_delay_days": {
            source: {
                step: {"median": median, "log_spread": spread}
                for step, (median, spread) in zip(("raised", "passed_on"), delays, strict=True)
            }
            for source, delays in DELAYS.items()
        },
        "issuer_declined": DECLINED,
        "three_ds_share": THREE_DS_SHARE,
    }
