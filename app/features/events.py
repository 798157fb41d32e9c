"""What is counted: each kind of event has counters of its own.

Attempts alone would let an attacker lock a victim out; approvals alone would hide card testing.
A decision counts as several things at once (attempted, stepped up); what comes after it, an
outcome or a label, is joined with its decision first (`app.record.effect`) and counts as one.
"""

from __future__ import annotations

import enum
from typing import Self

__all__ = ["Counted"]


class Counted(enum.IntFlag):
    """Kinds of events, as a set. Names are written to the journal; values are not."""

    NOTHING = 0
    # of a decision
    ATTEMPTED = enum.auto()
    STEPPED_UP = enum.auto()
    DECLINED = enum.auto()  # by us
    LARGE = enum.auto()  # far above the card's own mean when it was decided
    # of an outcome
    CHALLENGE_PASSED = enum.auto()
    CHALLENGE_FAILED = enum.auto()
    CHALLENGE_ABANDONED = enum.auto()
    AUTHORISED = enum.auto()
    ISSUER_DECLINED = enum.auto()
    CAPTURED = enum.auto()
    REVERSED = enum.auto()
    REFUNDED = enum.auto()
    SUPERSEDED = enum.auto()  # withdraws ATTEMPTED
    LARGE_SUPERSEDED = enum.auto()  # withdraws LARGE, of an attempt that was
    # of a label: once for an attempt, however many sources say the same
    FRAUD = enum.auto()
    NOT_FRAUD = enum.auto()
    FRAUD_WITHDRAWN = enum.auto()
    NOT_FRAUD_WITHDRAWN = enum.auto()

    @classmethod
    def of_names(cls, names: list[str]) -> Self:
        """The set of these names, lower case.

        Raises:
            KeyError: one of them is unknown.
        """
        return cls(sum(cls[name.upper()].value for name in names))
