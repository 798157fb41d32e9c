"""What a region says of itself: its operations listener's `/readyz` and `/metrics`."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["ABSENT", "RegionFacts", "facts_of", "read_facts"]

ANSWER_S_MAX = 2.0
# What a client is told when something went wrong here, not in its request.
_SERVER_ERROR = "5"


class RegionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One region at one moment; the totals only grow.

    Attributes:
        reachable: whether its operations listener answered.
        scorers: processes that decide.
        rungs: which can be served.
        ages: seconds, by what ages ("counters:us-east-1", "snapshot").
        by_rung: decisions answered.
        errors: bugs, decisions without a record, and requests refused for a reason of our own.
        pressure: rungs that requests start below the top for want of time.
    """

    reachable: bool
    scorers: int = 0
    rungs: dict[str, bool] = {}
    ages: dict[str, float] = {}
    by_rung: dict[str, int] = {}
    errors: int = 0
    pressure: float = 0.0

    @property
    def answered(self) -> int:
        """Decisions answered."""
        return sum(self.by_rung.values())


ABSENT = RegionFacts(reachable=False)


def read_facts(port: int, host: str = "127.0.0.1") -> RegionFacts:
    """Ask an operations listener; `ABSENT` where none answers within two seconds."""
    try:
        return facts_of(
            msgspec.json.decode(_get(host, port, "/readyz"), type=dict[str, Any]),
            _get(host, port, "/metrics").decode(),
        )
    except (OSError, http.client.HTTPException, msgspec.DecodeError, ValueError):
        return ABSENT


def facts_of(readyz: Mapping[str, Any], metrics: str) -> RegionFacts:
    """Facts from what the listener answered."""
    by_rung: Counter[str] = Counter()
    errors = 0
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            match sample.name:
                case "stepdown_decisions_total":
                    by_rung[sample.labels["rung"]] += int(sample.value)
                case "stepdown_bugs_total" | "stepdown_journal_missing_total":
                    errors += int(sample.value)
                case "stepdown_requests_refused_total":
                    own = sample.labels["status"].startswith(_SERVER_ERROR)
                    errors += int(sample.value) if own else 0
                case _:
                    pass
    return RegionFacts(
        reachable=True,
        scorers=readyz.get("scorers", 0),
        rungs={name: state["available"] for name, state in readyz.get("rungs", {}).items()},
        ages=readyz.get("ages", {}),
        by_rung=dict(by_rung),
        errors=errors,
        pressure=readyz.get("numbers", {}).get("pressure_depth", 0.0),
    )


def _get(host: str, port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S_MAX)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()
