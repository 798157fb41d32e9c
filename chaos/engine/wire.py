"""What a load process is told, and what it tells: JSON, a line each."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["DEADLINE_MS", "Body", "Ended", "Job", "Outcome", "Said", "Started", "Turn"]

# Of a load, by its kind: what the client has in all, and what a region has at its endpoint.
DEADLINE_MS = {"client": 1_000.0, "region": 100.0}


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send, with what is known of it.

    Attributes:
        attempt: body of the request; its id is made anew for each sending.
        fraud: the truth of the simulation; None where it is not known.
        ref: amount, reference minor units.
    """

    attempt: dict[str, Any]
    fraud: bool | None
    ref: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a load process does.

    Attributes:
        kind: through the client library, or straight at the first endpoint.
        home: region that the callers are in.
        endpoints: address by region, the home's first.
        key: of the API.
        trusted_keys: folder of keys that sign routing documents.
        bodies: file with a `Body` a line.
        rate: attempts a second, at random times.
        deadline_ms: of the client for an answer, or of the service.
        failover: whether the client may go elsewhere and try again.
        stand_ins: file that keeps what the client decided by itself.
        post_back_s: how long to wait at the end until that is posted back.
        seed: of times and bodies.
    """

    kind: Literal["client", "region"]
    home: str
    endpoints: dict[str, str]
    key: str
    trusted_keys: str
    bodies: str
    rate: float
    deadline_ms: float
    failover: bool = True
    stand_ins: str | None = None
    post_back_s: float = 40.0
    seed: int = 7


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Told while it runs: another rate, or the end."""

    rate: float | None = None
    stop: bool = False


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """It begins to send."""

    at_s: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag="outcome", omit_defaults=True):
    """What became of one attempt.

    Attributes:
        home: region of the caller.
        due_s: when it should have been sent, on the machine's monotonic clock.
        latency_ms: from then to the answer.
        lag_ms: from then to its sending: the generator's own fault.
        row: of the bodies.
        rung: that answered; None where nothing did.
        region: that answered.
        action: of the answer.
        signed: whether a region's signature on it was verified.
        error: what went wrong with the last try, or with all.
    """

    home: str
    due_s: float
    latency_ms: float
    lag_ms: float
    row: int
    rung: str | None = None
    region: str | None = None
    action: str | None = None
    signed: bool = False
    error: str | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True, tag="said"):
    """What a client told: an endpoint was ejected, or returns."""

    home: str
    at_s: float
    what: Literal["ejected", "returning"]
    region: str
    why: str | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """It has sent its last.

    Attributes:
        requests: that it sent.
        posted_back: stand-ins that a region has now.
        waiting: stand-ins that none has, and those that were dropped.
        tries: requests for each attempt.
    """

    home: str
    requests: int
    posted_back: int = 0
    waiting: int = 0
    tries: float = 1.0
