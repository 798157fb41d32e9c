"""Reason codes: one for machines, one sentence for people, in the answer and in the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.api.wire import ReasonText

__all__ = ["CATALOGUE", "MODEL_RISK", "described"]

MODEL_RISK = "MODEL_RISK"

CATALOGUE: Mapping[str, str] = {
    "AMOUNT_UNUSUAL": "The amount is unusually high for this merchant.",
    "COUNTRY_MISMATCH": "The network address is not in the card's country.",
    "EMULATOR": "The device is an emulator.",
    "MERCHANT_HOT": "The merchant has seen much fraud lately.",
    "MODEL_RISK": "The model finds the attempt riskier than this merchant accepts.",
    "NEW_ACCOUNT": "The customer's account is very new.",
    "PROXY": "The attempt comes through a proxy.",
    "STANDING_POLICY": "The merchant's standing policy for this amount applies.",
    "VELOCITY_CARD": "The card was tried many times within seconds.",
    "VELOCITY_DEVICE": "The device made many attempts within seconds.",
    "VELOCITY_IP": "The network address made many attempts within seconds.",
}


def described(codes: Iterable[str]) -> list[ReasonText]:
    """Codes with their sentences; a code that a rule file made up stands for itself."""
    return [
        ReasonText(code=code, text=CATALOGUE.get(code, code.replace("_", " ").capitalize() + "."))
        for code in codes
    ]
