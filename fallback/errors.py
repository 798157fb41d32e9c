"""Why a rung could not answer: expected failures, named.

```
Exception
├── RungError                      reason on the wire        trips a breaker
│   ├── DependencyError            source_unavailable        yes
│   │   ├── DependencyTimeout      timeout                   yes
│   │   ├── DependencyUnavailable  source_unavailable        yes
│   │   ├── DependencyRefusal      source_unavailable        yes
│   │   └── DependencyCorrupt      source_unavailable        yes
│   ├── Unavailable                source_unavailable        no
│   │   ├── FeaturesStale          features_stale            no
│   │   ├── SourceUnavailable      source_unavailable        no
│   │   ├── ModelUnavailable       model_unavailable         no
│   │   ├── SnapshotUnavailable    snapshot_unavailable      no
│   │   └── RulesUnavailable       rules_unavailable         no
│   ├── Refused                    pressure                  no
│   │   ├── BreakerOpen            breaker_open              no
│   │   ├── BulkheadFull           pressure                  no
│   │   ├── DeadlineNear           deadline                  no
│   │   └── Disabled               disabled                  no
│   └── RungOverrun                timeout                   no
└── RequestError                   the caller's mistake: leaves the ladder, no lower rung
```

The three families say what happened. `DependencyError`: something was asked and failed, which
is evidence against it. `Unavailable`: everything asked did answer, but what is there cannot be
used. `Refused`: nothing was asked at all. Only the first family is evidence for a breaker.

A `RungError` sends the attempt to the next rung and pages nobody by itself; the objective on
the share of each rung does. `asyncio.CancelledError` is re-raised and never counted. Anything
else that is raised is a bug: next rung, reason `bug`, and a page.

Adapters translate their driver's errors into this tree at the place of the call, so an error
that nobody translated shows up as a bug instead of quietly opening a breaker.
"""
# ruff: noqa: N818 - the names say what happened, as those of the wire's reasons do

from __future__ import annotations

from typing import ClassVar

from fallback.rung import Reason

__all__ = [
    "BreakerOpen",
    "BulkheadFull",
    "DeadlineNear",
    "DependencyCorrupt",
    "DependencyError",
    "DependencyRefusal",
    "DependencyTimeout",
    "DependencyUnavailable",
    "Disabled",
    "FeaturesStale",
    "ModelUnavailable",
    "Refused",
    "RequestError",
    "RulesUnavailable",
    "RungError",
    "RungOverrun",
    "SnapshotUnavailable",
    "SourceUnavailable",
    "Unavailable",
]


class RungError(Exception):
    """A rung cannot answer, for an expected reason; the next one is asked.

    Attributes:
        reason: what the answer says of this rung in `not_higher`.
        trips: whether a breaker round the call counts it as a failure of the dependency.
        dependency: the datastore, file or limit concerned, where there is one.
    """

    reason: ClassVar[Reason] = Reason.SOURCE_UNAVAILABLE
    trips: ClassVar[bool] = False

    def __init__(self, message: str = "", *, dependency: str | None = None) -> None:
        super().__init__(message)
        self.dependency = dependency

    def __str__(self) -> str:
        message = super().__str__() or type(self).__name__
        return message if self.dependency is None else f"{self.dependency}: {message}"


class DependencyError(RungError):
    """A dependency was asked and failed: evidence against it."""

    trips = True


class DependencyTimeout(DependencyError):
    """No answer within the time the call was given."""

    reason = Reason.TIMEOUT


class DependencyUnavailable(DependencyError):
    """Connection refused or reset, loading, no quorum: it cannot serve."""


class DependencyRefusal(DependencyError):
    """It answered a command with an error."""


class DependencyCorrupt(DependencyError):
    """It answered, and the answer cannot be read: wrong magic, checksum or shape."""


class Unavailable(RungError):
    """What the rung needs is not there; no dependency failed to answer."""


class FeaturesStale(Unavailable):
    """The features are older than the model was trained to bear."""

    reason = Reason.FEATURES_STALE


class SourceUnavailable(Unavailable):
    """Too few sources are present: cold after a rebuild, or evacuated."""


class ModelUnavailable(Unavailable):
    """No model has passed its checks yet, or none reads what is mapped."""

    reason = Reason.MODEL_UNAVAILABLE


class SnapshotUnavailable(Unavailable):
    """No feature snapshot has passed its checks yet, or the last good one has expired."""

    reason = Reason.SNAPSHOT_UNAVAILABLE


class RulesUnavailable(Unavailable):
    """No rule file has passed its checks yet."""

    reason = Reason.RULES_UNAVAILABLE


class Refused(RungError):
    """The call was not made, to protect the service or its deadline."""

    reason = Reason.PRESSURE


class BreakerOpen(Refused):
    """The dependency's breaker does not admit the call."""

    reason = Reason.BREAKER_OPEN


class BulkheadFull(Refused):
    """As many calls as allowed are in flight: local overload, not a dead dependency."""


class DeadlineNear(Refused):
    """Less time is left than the work needs."""

    reason = Reason.DEADLINE


class Disabled(Refused):
    """Switched off by an operator or a guard."""

    reason = Reason.DISABLED


class RungOverrun(RungError):
    """The ladder cut the rung off, to leave time for the lower ones.

    It says nothing of a dependency: what the rung calls has shorter timeouts of its own, and
    those are what a breaker counts.
    """

    reason = Reason.TIMEOUT


class RequestError(Exception):
    """The caller's mistake (4xx): no rung can answer it, no breaker counts it, nobody is paged."""
