"""What a client tells whoever listens: frozen data, once it has happened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "ClientEvent",
    "Defaulted",
    "Ejected",
    "Hedged",
    "Listener",
    "PostedBack",
    "Retried",
    "Returning",
    "RoutingRefused",
    "RoutingTaken",
    "Superseded",
    "TryFailed",
    "told",
]

log = logging.getLogger("stepdown_client")


@dataclass(frozen=True, slots=True, kw_only=True)
class TryFailed:
    """A try failed; `kind` is of `stepdown_client.errors`."""

    region: str
    attempt_id: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A failed try was followed by one at another region, or at the only one."""

    region: str
    attempt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedged:
    """A try took long, and another region was asked beside it."""

    region: str
    attempt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ejected:
    """An endpoint is left alone for at least `for_s` seconds; `why` is a `Trouble`."""

    region: str
    why: str
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Returning:
    """An ejected endpoint gets attempts again, few at first."""

    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaulted:
    """No region answered in time: the client default did."""

    attempt_id: str
    action: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedBack:
    """What the client decided by itself is with a region now."""

    region: str
    attempt_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """A second decision on an attempt was reported as not the one that was acted on."""

    region: str
    decision_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTaken:
    """A newer routing document is in force."""

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRefused:
    """A routing document was refused; the last good one stays in force."""

    region: str
    why: str


ClientEvent = (
    TryFailed
    | Retried
    | Hedged
    | Ejected
    | Returning
    | Defaulted
    | PostedBack
    | Superseded
    | RoutingTaken
    | RoutingRefused
)
Listener = Callable[[ClientEvent], None]


def told(listener: Listener | None) -> Listener:
    """A listener that cannot disturb: what it raises is logged."""

    def tell(event: ClientEvent) -> None:
        if listener is None:
            return
        try:
            listener(event)
        except Exception:
            log.exception("the listener failed on %s", event)

    return tell
