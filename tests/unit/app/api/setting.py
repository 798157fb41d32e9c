"""A decider that needs nothing, and an attempt for it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import msgspec

from app.api.wire import Decision
from app.record.made import Answered

BODY = json.dumps(
    {
        "attempt_id": "a1",
        "amount": {"value": 2_500, "currency": "EUR"},
        "merchant": {"id": "mer_1"},
        "instrument": {"token": "tok_12345"},
    }
).encode()


class FakeDecider:
    """Answers everything, at once or when it is let; `says` stands in place of the answer."""

    def __init__(self):
        self.asked_for = []
        self.batches = []
        self.behind = []
        self.says = None
        self._let = asyncio.Event()
        self._let.set()

    def hold(self):
        """Answer nobody for now."""
        self._let.clear()

    def let(self):
        """Answer everybody."""
        self._let.set()

    def asked(self, attempt, canonical, *, caller, deadline, deadline_ms, retry, trace, told):
        self.asked_for.append((attempt, canonical, caller, deadline, deadline_ms, retry))
        return SimpleNamespace(attempt_id=attempt.attempt_id, told=told)

    async def decide(self, batch, *, behind=0):
        self.batches.append([asked.attempt_id for asked in batch])
        self.behind.append(behind)
        await self._let.wait()
        for asked in batch:
            asked.told(self.says or self._answered(asked.attempt_id))

    @staticmethod
    def _answered(attempt_id):
        answer = Decision(
            decision_id="dec_1",
            attempt_id=attempt_id,
            action="approve",
            score=None,
            rung="rules",
            not_higher={},
            reasons=[],
            thresholds=None,
            model=None,
            policy_version=1,
            region="us-east-1",
            as_of="2026-07-01T00:00:00.000Z",
            feature_age_ms=None,
            took_ms=1.5,
            token="v1.a.b",
        )
        return Answered(answer, msgspec.json.encode(answer))
