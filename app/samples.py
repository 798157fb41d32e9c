"""Sample attempts: posted after a start, to see the service decide."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from app.errors import OperatorError
from app.fresh_id import fresh_id
from app.post import post_decision, post_outcome
from app.registry import Registry

__all__ = ["Sample", "load_samples", "post_samples"]

# Who tests cards tries some twenty a second; counters hold an attempt after some 40 ms. Issuers
# decline half of the tested cards.
BETWEEN_CARDS_S = 0.05


class Sample(msgspec.Struct, frozen=True):
    """One sample attempt.

    Attributes:
        name: what it shows.
        cards: how many cards are tried one after the other, every other one declined by its
            issuer; the last answer counts.
        body: of the request; each post gets an attempt id of its own.
    """

    name: str
    cards: int
    body: dict[str, Any]


def load_samples(home: Path) -> list[Sample]:
    """The samples of this home's simulated history.

    Raises:
        OperatorError: there are none yet.
    """
    path = Registry(home).samples
    if not path.exists():
        raise OperatorError(f"{path} does not exist; 'stepdown up' makes it.")
    return msgspec.json.decode(path.read_bytes(), type=list[Sample])


def post_samples(api_url: str, home: Path) -> list[dict[str, Any]]:
    """Post every sample and say what was decided.

    Raises:
        OperatorError: the service gave no decision.
    """
    key = Registry(home).dev_key.read_text(encoding="ascii").strip()
    rows = []
    for sample in load_samples(home):
        answer: dict[str, Any] = {}
        for number in range(sample.cards):
            if number:
                if number % 2:
                    _decline(api_url, answer, key=key)
                time.sleep(BETWEEN_CARDS_S)
            body = {**sample.body, "attempt_id": fresh_id("att")}
            if sample.cards > 1:
                body["instrument"] = {**body["instrument"], "token": fresh_id("tok")}
            answer = post_decision(api_url, msgspec.json.encode(body), key=key)
        amount = sample.body["amount"]
        rows.append(
            {
                "name": sample.name,
                "amount": f"{amount['value'] / 100:,.2f} {amount['currency']}",
                "action": answer["action"],
                "score": answer["score"],
                "rung": answer["rung"],
                "reasons": [reason["code"] for reason in answer["reasons"]],
                "took_ms": answer["took_ms"],
            }
        )
    return rows


def _decline(api_url: str, answer: dict[str, Any], *, key: str) -> None:
    """Tell that the issuer declined the attempt of an answer."""
    outcome = {
        "outcome_id": fresh_id("out"),
        "decision_id": answer["decision_id"],
        "kind": "issuer_declined",
        "occurred_at": datetime.now(UTC).isoformat(),
        "issuer_code": "05",
    }
    post_outcome(api_url, msgspec.json.encode(outcome), key=key)
