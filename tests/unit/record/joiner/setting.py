"""A host's journals, and joiners that follow one another."""

from __future__ import annotations

import json
from functools import partial

import msgspec

from app.ids import DecisionIds
from app.record.attempt_index import AttemptIndex
from app.record.effect import decode_effect
from app.record.follow_up import FollowUp, encode_follow_up
from app.record.frames import Kind
from app.record.joiner import Bounds, Joiner
from app.record.journal import open_journal
from app.streams.journal_tail import JournalTail
from app.telemetry import Telemetry

REGION, ELSEWHERE = 1, 2
DAY_MS = 86_400_000
WAIT_MS = 5_000


class Host:
    """A host's journals, and joiners that follow one another."""

    def __init__(self, folder):
        self.folder, self.journals = folder / "journal", [self.writer(folder / "journal")]
        self.now_ms = 1_800_000_000_000
        self.found = {}  # what history knows, by attempt id
        self.looked_up = 0
        self._home = folder
        self.joiner = None

    @staticmethod
    def writer(folder):
        return open_journal(folder, region=REGION, fsync_ms=0)

    def start(self, *, journal=None, bounds=None):
        """A joiner in a new process, the one before killed."""
        self.kill()
        self.telemetry = Telemetry(role="joiner")
        self.index = AttemptIndex(self._home / "joiner")
        self.joiner = Joiner(
            JournalTail(self.folder),
            self.index,
            folder=self.folder,
            journal=journal or partial(self.writer, self.folder),
            region=REGION,
            telemetry=self.telemetry,
            now_ms=lambda: self.now_ms,
            find=self._find,
            bounds=bounds or Bounds(wait_ms=WAIT_MS),
        )
        self.joiner.resume()
        return self.joiner

    def kill(self):
        if self.joiner is not None:
            self.joiner.close()
            self.joiner = None

    def decide(self, attempt_id, *, tenant="acme", at_ms=None):
        id, payload = self.decision(attempt_id, tenant=tenant, at_ms=at_ms)
        self.journals[0].append(Kind.DECISION, payload)
        return id

    def decision(self, attempt_id, *, tenant="acme", at_ms=None):
        at_ms = at_ms or self.now_ms
        id = DecisionIds(region=REGION, writer=0).new(at_ms)
        return id, msgspec.msgpack.encode(
            {
                "tenant": tenant,
                "decision_id": id,
                "attempt_id": attempt_id,
                "received_ms": at_ms,
                "amount_ref": 4_200,
                "entities": {"card": f"card of {attempt_id}"},
                "bits": {},
            }
        )

    def say(self, what, attempt_id=None, *, decision_id=None, home=REGION, tenant="acme", id=None):
        kind, name = (
            (Kind.LABEL, "label") if what in ("fraud", "withdrawn") else (Kind.OUTCOME, "kind")
        )
        follow_up = FollowUp(
            tenant=tenant,
            id=id or f"{what}-{self.journals[0].appended}",
            home=home,
            received_ms=self.now_ms,
            attempt_id=attempt_id,
            decision_id=decision_id,
            body=json.dumps({name: what}).encode(),
        )
        return self.journals[0].append(kind, encode_follow_up(follow_up))

    @property
    def effects(self):
        """(attempt, what) of every effect in the journals, in order of the follow-ups."""
        records = JournalTail(self.folder).read(10_000)
        effects = [decode_effect(r.payload) for r in records if r.kind is Kind.EFFECT]
        effects.sort(key=lambda effect: tuple(map(int, effect.of.split("/"))))
        return [(effect.attempt_id, effect.what) for effect in effects]

    def count(self, *name):
        return self.telemetry.counters["\0".join(name)]

    def _find(self, tenant, attempt_id, decision_id):
        self.looked_up += 1
        found = self.found.get(attempt_id)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self):
        self.kill()
        for journal in self.journals:
            journal.close()
