"""Every limit of a client: name, unit, range, default."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ClientSettings", "EjectionPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionPolicy:
    """When an endpoint is left alone, and how it comes back.

    Attributes:
        window_s: how far back outcomes count, seconds, > 0.
        calls_min: with fewer calls in the window rates say nothing, >= 1.
        failure_rate: share of failed calls that ejects, in (0, 1].
        slow_rate: share of slow answers that ejects, in (0, 1].
        failures_in_a_row: that eject with however few calls, >= 1.
        eject_s: the first time, seconds, > 0; doubled each time after.
        eject_s_max: the longest, seconds, >= `eject_s`.
        forget_s: after so long without trouble it begins anew, seconds, > 0.
        ramp_s: from the first attempt after the return to all, seconds, >= 0.
        jitter: by which both vary either way, in [0, 1), so that clients do not move in step.
    """

    window_s: float = 3.0
    calls_min: int = 30
    failure_rate: float = 0.3
    slow_rate: float = 0.2
    failures_in_a_row: int = 5
    eject_s: float = 5.0
    eject_s_max: float = 60.0
    forget_s: float = 60.0
    ramp_s: float = 8.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        _check(
            self,
            window_s=self.window_s > 0,
            calls_min=self.calls_min >= 1,
            failure_rate=0 < self.failure_rate <= 1,
            slow_rate=0 < self.slow_rate <= 1,
            failures_in_a_row=self.failures_in_a_row >= 1,
            eject_s=self.eject_s > 0,
            eject_s_max=self.eject_s <= self.eject_s_max < math.inf,
            forget_s=self.forget_s > 0,
            ramp_s=self.ramp_s >= 0,
            jitter=0 <= self.jitter < 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a client is made of.

    Attributes:
        endpoints: address by region, in the order to try them in before any is measured.
        api_key: with the scope decide; with outcome as well, so that a second decision on an
            attempt can be superseded.
        trusted_keys: folder of public keys (`*.pem`) that may sign routing documents.
        require_signed: whether an answer that cannot be verified yet, since there is no routing
            document, is as good as none.
        deadline_ms: for an answer altogether, 20 to 60,000.
        service_deadline_ms: what a region takes at most by itself, 20 to 1,000.
        connect_ms: longest wait for a connection, > 0, far below `deadline_ms`.
        hedge_share: hedges for each request, in [0, 1].
        retry_share: retries for each request, in [0, 1].
        retry_burst: retries that an outage may take before the share holds, >= 0.
        ejection: see `EjectionPolicy`.
        routing_s: how often the routing document is asked for, seconds, > 0.
        routing_cache: file that keeps the last good document over restarts; None for none.
        stand_ins: file that keeps what is to be posted back over restarts; None for none.
        stand_ins_max: of them that are kept, >= 0; beyond it the newest are dropped and counted.
        probe_s: how often endpoints are probed, seconds, > 0.
        dns_s: how long an address is used before DNS is asked again, seconds, > 0.

    Raises:
        ValueError: a limit is out of its range, or there is no endpoint.
    """

    endpoints: dict[str, str]
    api_key: str = field(repr=False)
    trusted_keys: Path
    require_signed: bool = True
    deadline_ms: float = 1_000.0
    service_deadline_ms: float = 100.0
    connect_ms: float = 300.0
    hedge_share: float = 0.05
    retry_share: float = 0.1
    retry_burst: float = 100.0
    ejection: EjectionPolicy = field(default_factory=EjectionPolicy)
    routing_s: float = 30.0
    routing_cache: Path | None = None
    stand_ins: Path | None = None
    stand_ins_max: int = 10_000
    probe_s: float = 1.0
    dns_s: float = 30.0

    def __post_init__(self) -> None:
        _check(
            self,
            endpoints=bool(self.endpoints)
            and all(url.startswith(("http://", "https://")) for url in self.endpoints.values()),
            deadline_ms=20 <= self.deadline_ms <= 60_000,
            service_deadline_ms=20 <= self.service_deadline_ms <= 1_000,
            connect_ms=0 < self.connect_ms <= self.deadline_ms,
            hedge_share=0 <= self.hedge_share <= 1,
            retry_share=0 <= self.retry_share <= 1,
            retry_burst=self.retry_burst >= 0,
            routing_s=self.routing_s > 0,
            stand_ins_max=self.stand_ins_max >= 0,
            probe_s=self.probe_s > 0,
            dns_s=self.dns_s > 0,
        )


def _check(settings: ClientSettings | EjectionPolicy, **holds: bool) -> None:
    wrong = [f"{name}={getattr(settings, name)}" for name, right in holds.items() if not right]
    if wrong:
        raise ValueError(f"out of range: {', '.join(wrong)}")
