"""From a history to everything that regions adopt: models, snapshot, directory, hot list."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from app.features.directory import publish_directory
from app.features.formulas import Formulas
from app.features.rings import Int64s
from app.features.snapshot import publish_snapshot
from app.features.spec import FeatureSet, InputState
from app.models.artifact import Artifact
from app.models.training.history import History, load_history
from app.models.training.inputs import Table, hot_merchants, inputs_of, snapshot_batches
from app.models.training.phases import Phases
from app.models.training.segments import patterns_of
from app.models.training.train import TrainSettings, attempts_needed, train
from app.publish import roll_back, withdraw
from app.record.signing import Keyring, ensure_signing_key
from app.registry import DEMO_TENANT, Registry
from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate

__all__ = ["first_release", "release"]

# The history that a first start is trained on: 60 days, made in seconds.
FIRST_ATTEMPTS = 300_000
SEED = 7
# Half a minute in all: what a first start needs is a model, not the best one.
FIRST_SETTINGS = TrainSettings(iterations=200, learning_rate=0.08, genuine_rows_max=50_000)

CARDS_TESTED = 12
# Samples are of the last fifth, when windows have filled.
LATE_FROM = 0.8
# Amounts over the card's own mean: like it, and far above it.
REGULAR, FAR_ABOVE = 0.1, 5.0
CARD_TESTING = f"card testing, card number {CARDS_TESTED}"

Report = Callable[[float, str], None]


def first_release(registry: Registry, features: FeatureSet, report: Report) -> None:
    """Simulate a history, unless a finished one is there, and release from it."""
    if not (registry.data / "manifest.json").exists():
        shutil.rmtree(registry.data, ignore_errors=True)  # one that was cut
        simulate(
            SimulatorConfig(seed=SEED, attempts=FIRST_ATTEMPTS),
            registry.data,
            progress=lambda done, _: report(0.1 * done, "simulating 60 days of payments"),
        )
    history = load_history(registry.data)
    release(
        registry,
        history,
        features,
        lambda done, what: report(0.1 + 0.9 * done, what),
        settings=FIRST_SETTINGS,
    )


def release(
    registry: Registry,
    history: History,
    features: FeatureSet,
    report: Report,
    *,
    settings: TrainSettings | None = None,
    phases: Phases | None = None,
) -> tuple[Artifact, Mapping[str, Mapping[str, Any]]]:
    """Train on a history and publish all that follows from it in the registry.

    Args:
        registry: to publish in.
        history: all attempts, and what became of them.
        features: what the models see.
        report: told the share done, 0 to 1, and what is being done.
        settings: how to train.
        phases: told what ended, on how many rows.

    Returns:
        The models and what `evaluate` says of each rung on the last week.

    Raises:
        HistoryError: the history cannot be used.
    """
    settings, phases = settings or TrainSettings(), phases or Phases()
    wanted = np.union1d(attempts_needed(history, settings), _candidates(history))
    table = inputs_of(
        history, features, lambda done, what: report(0.1 * done, what), attempts=wanted
    )
    phases.end("inputs", rows=len(wanted))
    artifact, metrics = train(
        history,
        table,
        registry.folder / "model",
        settings,
        report=lambda done, what: report(0.1 + 0.8 * done, what),
        phases=phases,
    )
    report(0.92, "snapshot of the last midnight")
    _publish_snapshot(registry.folder / "snapshot", history, features)
    report(0.96, "merchant directory and hot list")
    signer = ensure_signing_key(registry.publisher_key)
    Keyring(registry.trusted_keys).add(signer.public_key)
    publish_directory(
        registry.folder / "merchants",
        tenant=DEMO_TENANT,
        merchants=history.merchants.items(),
        number=time.time_ns() // 1_000_000,
        signer=signer,
    )
    hot = hot_merchants(history, features, history.end_ms)
    registry.hot_merchants.write_text("".join(f"{name}\n" for name in hot), encoding="utf-8")
    registry.samples.write_bytes(msgspec.json.encode(_samples(history, table, artifact)))
    phases.end("publish_rest", rows=len(history))
    report(1.0, "released")
    return artifact, metrics


def _publish_snapshot(folder: Path, history: History, features: FeatureSet) -> None:
    """Publish the snapshot of the history's end, also where a later one was in force."""
    withdraw(folder)
    version = publish_snapshot(
        folder,
        tenant=DEMO_TENANT,
        schema=features.schema,
        columns=features.snapshot_columns,
        batches=snapshot_batches(history, features, history.end_ms),
        as_of_ms=history.end_ms,
    )
    # Who trains means this history, so regions follow it back in time, too.
    roll_back(folder, version)


def _candidates(history: History) -> Int64s:
    """Late fraud, which samples show."""
    late = int(len(history) * LATE_FROM) + 1
    return late + np.flatnonzero(history.fraud[late:])


def _samples(history: History, table: Table, artifact: Artifact) -> list[dict[str, Any]]:
    """A few attempts that show what the service does; read by `app.samples`.

    Of each kind of fraud the one that a first start finds riskiest, whose counters are empty.

    Args:
        history: all attempts.
        table: inputs of those that samples are chosen of.
        artifact: scores them.
    """
    attempts = np.arange(len(history)) if table.attempts is None else table.attempts
    held = history.take(attempts)
    ratio = table.number("amount_to_card_mean_eod")
    pattern = patterns_of(held)
    wanted = {
        "a regular customer": ~held.fraud & (np.abs(ratio - 1) < REGULAR),
        "far above the card's mean": (pattern == "stolen_card") & (ratio > FAR_ABOVE),
        "a merchant with much fraud": pattern == "merchant_compromise",
        CARD_TESTING: pattern == "card_testing",
    }
    late = attempts > len(history) * LATE_FROM
    chosen = {}
    for name, kind in wanted.items():
        rows = np.flatnonzero(late & kind)
        if len(rows):
            risk = _scored_cold(table.take(attempts[rows]), artifact)
            of = np.argmax(risk) if held.fraud[rows[0]] else np.argmin(risk)
            chosen[name] = attempts[rows[of]]
    documents = history.take(np.array(list(chosen.values()))).documents()
    for row, document in zip(chosen.values(), documents, strict=True):
        if history.fraud[row]:  # by the end of the history its own device is an old acquaintance
            document.setdefault("device", {})["id"] = f"dev_sample_{row}"
    samples: list[dict[str, Any]] = [
        {"name": name, "cards": CARDS_TESTED if name == CARD_TESTING else 1, "body": body}
        for name, body in zip(chosen, documents, strict=True)
    ]
    stranger = {
        "attempt_id": "stranger",
        "amount": {"value": 4_900, "currency": "USD"},
        "merchant": {"id": "mer_never_seen"},
        "instrument": {"token": "tok_never_seen"},
    }
    return [*samples, {"name": "nothing known but the amount", "cards": 1, "body": stranger}]


def _scored_cold(table: Table, artifact: Artifact) -> npt.NDArray[np.float64]:
    """Raw scores of the full model while no counter has seen anything, shape (attempts,)."""
    features = table.features
    numbers, categories = table.numbers.copy(), table.categories.copy()
    nothing = np.zeros((len(numbers), len(features.counters)))
    numbers[:, -len(features.features) :] = Formulas(features.features, features.counters).inputs(
        nothing,
        amount=table.number("amount_ref").astype(np.float64),
        now_ms=np.zeros(len(numbers), dtype=np.int64),
    )
    states = categories[:, -len(features.entities) :]
    states[states != InputState.NOT_MAPPED.value] = InputState.NEVER_SEEN.value
    return artifact.full.raw(numbers, categories)
