"""What decisions did to money, by the truth of the simulation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chaos.engine.wire import Body, Outcome

__all__ = ["Value", "summed", "value_of"]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Reference minor units, of answered attempts.

    Attributes:
        fraud: of fraud.
        fraud_approved: of it, approved.
        good: of everything else.
        good_declined: of it, declined.
        good_stepped_up: of it, asked for more.
    """

    fraud: int = 0
    fraud_approved: int = 0
    good: int = 0
    good_declined: int = 0
    good_stepped_up: int = 0

    def shares(self) -> dict[str, float | None]:
        """Each as a share of its class; None where there was nothing of it."""
        return {
            "fraud_approved": _share(self.fraud_approved, self.fraud),
            "good_declined": _share(self.good_declined, self.good),
            "good_stepped_up": _share(self.good_stepped_up, self.good),
        }


def value_of(outcomes: Iterable[Outcome], bodies: Sequence[Body]) -> Value:
    """What was decided on the value of attempts."""
    sums = dict.fromkeys(Value.__struct_fields__, 0)
    for one in outcomes:
        body = bodies[one.row]
        if one.action is None or body.fraud is None:
            continue
        if body.fraud:
            sums["fraud"] += body.ref
            sums["fraud_approved"] += body.ref * (one.action == "approve")
        else:
            sums["good"] += body.ref
            sums["good_declined"] += body.ref * (one.action == "decline")
            sums["good_stepped_up"] += body.ref * (one.action == "step_up")
    return Value(**sums)


def summed(values: Iterable[Value]) -> Value:
    """Of several episodes."""
    found = list(values)
    return Value(
        **{name: sum(getattr(one, name) for one in found) for name in Value.__struct_fields__}
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
