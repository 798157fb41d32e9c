"""What a service knows before the first attempt is played: history, attempts, midnight's values."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Raw

from app.api.auth import Scope, add_key
from app.event_time import wall_ms
from app.features.directory import publish_directory
from app.features.hot_lists import write_list
from app.features.packed import distinct_bit
from app.features.snapshot import publish_snapshot
from app.features.spec import DAY_MS, Entity, FeatureSet
from app.history.imported import IMPORT_WRITER, import_history
from app.ids import DecisionIds
from app.models.training.history import ids_of
from app.models.training.inputs import hot_merchants, snapshot_batches
from app.play.answers import SCORED
from app.play.follow_ups import classes_at
from app.play.script import Script
from app.publish import adopt
from app.record.attempt import Attempt, decision_key
from app.record.attempt_index import AttemptIndex
from app.record.signing import Keyring, ensure_signing_key
from app.registry import DEMO_TENANT, Registry
from app.rulebook import DEFAULT_RULES
from fallback.rung import RungName

__all__ = ["Stage"]

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The home folder of a service that a history is played to.

    Attributes:
        home: folder of all its state, its own.
        region: name.
        number: of the region.
        features: what is counted.
        script: what is played.
        highest: rung that may answer.
    """

    home: Path
    region: str
    number: int
    features: FeatureSet
    script: Script
    highest: RungName

    @property
    def folder(self) -> Path:
        """Of the region's state."""
        return self.home / self.region

    def prepare(self, models: Path, report: Report) -> str:
        """Have everything there that the processes find when they start.

        What the rungs above the highest one need is not: see `regions.play`.

        Args:
            models: where the model is published.
            report: told the share done and what is being done.

        Returns:
            An API key with every scope.

        Raises:
            OperatorError: the warm-up cannot be imported, or there is no model.
        """
        published = self.folder / "published"
        if self.highest in SCORED:
            adopt(models, published / "model")
        if self.highest is RungName.FULL:
            import_history(
                self.script.warm_up,
                self.folder / "history",
                tenant=DEMO_TENANT,
                region=self.number,
                report=lambda share, what: report(0.8 * share, f"warm-up: {what}"),
            )
        report(0.85, "attempts of which more will be said")
        self._remember()
        report(0.9, "rules and merchants")
        (published / "rules").mkdir(parents=True)
        if self.highest is not RungName.TIER_DEFAULT:
            shutil.copy(DEFAULT_RULES, published / "rules" / "rules.yaml")
        self._publish_merchants(published / "merchants")
        self.publish_midnight(self.script.days.start)
        return add_key(self.home / "keys.json", tenant=DEMO_TENANT, scopes=tuple(Scope))

    def publish_midnight(self, day: int) -> int:
        """Publish what a day begins with: its snapshot and its hot list; the midnight, epoch ms."""
        midnight_ms = day * DAY_MS
        history, published = self.script.history, self.folder / "published"
        # The list first: who serves from the snapshot, which is waited for, has the list as well.
        write_list(
            published / "rules" / "lists" / "hot_merchants.txt",
            hot_merchants(history, self.features, midnight_ms),
        )
        publish_snapshot(
            published / "snapshot",
            tenant=DEMO_TENANT,
            schema=self.features.schema,
            columns=self.features.snapshot_columns,
            batches=snapshot_batches(history, self.features, midnight_ms),
            as_of_ms=midnight_ms,
        )
        return midnight_ms

    def _publish_merchants(self, folder: Path) -> None:
        registry = Registry(self.home)
        signer = ensure_signing_key(registry.publisher_key)
        Keyring(registry.trusted_keys).add(signer.public_key)
        publish_directory(
            folder,
            tenant=DEMO_TENANT,
            merchants=self.script.history.merchants.items(),
            number=time.time_ns() // 1_000_000,
            signer=signer,
        )

    def _remember(self) -> None:
        """Tell the joiner of the warm-up's attempts of which more is said in the period."""
        script = self.script
        rows = np.unique([said.row for said in script.follow_ups if said.row < script.first])
        history = script.history.take(rows.astype(np.int64))
        classes = classes_at(history, script.since_ms)
        entities = {entity: ids_of(history, entity) for entity in Entity}
        attempt_ids = history.attempts["attempt_id"].to_pylist()
        # The joiner forgets by the age of a decision's id: these must not look eight years old.
        ids, now_ms = DecisionIds(region=self.number, writer=IMPORT_WRITER), wall_ms()
        index = AttemptIndex(self.folder / "joiner")
        try:
            with index.change() as change:
                for row in range(len(rows)):
                    named = {
                        entity: of.names[of.code[row]]
                        for entity, of in entities.items()
                        if of.code[row] >= 0
                    }
                    held = classes.get(row)
                    told_apart = {e: named[e] for e in self.features.told_apart if e in named}
                    change.add(
                        Attempt(
                            decision=decision_key(ids.new(now_ms)),
                            tenant=DEMO_TENANT,
                            attempt_id=attempt_ids[row],
                            received_ms=int(history.received_ms[row]),
                            amount_ref=int(np.int64(history.amount_ref[row])),
                            entities=_raw({e.value: id for e, id in named.items()}),
                            bits=_raw({e.value: distinct_bit(id) for e, id in told_apart.items()}),
                            label="" if held is None else held.name,
                            label_at_ms=0 if held is None else held.at_ms,
                        )
                    )
        finally:
            index.close()


def _raw(value: dict[str, str] | dict[str, int]) -> Raw:
    return Raw(msgspec.msgpack.encode(value))
