"""The endpoints: in which order they are asked, and which of them are left alone. No I/O.

Order: those that are admitted, nearest first (weighted mean latency, the configured order before
there is any; of one that nobody asks, what its probes say); then those that have a weight but are
not admitted this time; then those that are ejected or have no weight, so that an attempt never
lacks somewhere to go.

    admitted   with probability  weight / 100 * share of the ramp

An endpoint with trouble is ejected only if it is an outlier: where the best of its peers with
enough calls has at least half its rate of the same trouble, the cause is here and not there. The
last endpoint that is in use is never ejected; while it has trouble, too, the others come back with
the first probe that does, and without a ramp.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stepdown_client.clock import Clock
from stepdown_client.ejection import Health, HealthState, Trouble
from stepdown_client.errors import TimedOutError
from stepdown_client.events import Ejected, Listener, Returning
from stepdown_client.settings import ClientSettings
from stepdown_client.window import Counts, Latency

__all__ = ["Endpoint", "Pool"]

# The nearest so far stays the nearest until another one is this much nearer.
_STAY = 0.8
_PEER = 0.5
_RTT_UNKNOWN_MS = 250.0
_SLACK_MS = 50.0


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """One region's endpoint, and what is known of it.

    Attributes:
        region: its name.
        url: its address.
        weight: percent of its clients' attempts, by the routing document.
        health: whether it is used.
        latency: of its answers.
        round_trip_ms: weighted mean of what answers took beyond the service's own time.
        tries: attempts sent to it.
        answers: that were accepted.
        failures: tries that failed, by kind.
        slow: answers that were slow.
    """

    region: str
    url: str
    weight: float = 100.0
    health: Health
    latency: Latency = field(default_factory=Latency)
    round_trip_ms: float | None = None
    tries: int = 0
    answers: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    slow: int = 0

    @property
    def in_use(self) -> bool:
        """Whether attempts go there by choice."""
        return self.weight > 0 and self.health.state is not HealthState.EJECTED

    def try_ms(self, service_deadline_ms: float) -> float:
        """How long one try may take: what a region takes at most, the way, and some slack."""
        way_ms = _RTT_UNKNOWN_MS if self.round_trip_ms is None else self.round_trip_ms
        return service_deadline_ms + 1.5 * way_ms + _SLACK_MS

    def went(self, took_ms: float) -> None:
        """A round trip took that long, without the service's own time."""
        before = self.round_trip_ms
        self.round_trip_ms = took_ms if before is None else before + 0.1 * (took_ms - before)


class Pool:
    """All endpoints of a client."""

    def __init__(
        self, settings: ClientSettings, *, clock: Clock, rng: random.Random, tell: Listener
    ) -> None:
        """Make the pool of the configured endpoints.

        Args:
            settings: endpoints and limits.
            clock: monotonic.
            rng: for weights, ramps and jitter.
            tell: is told of ejections and returns.
        """
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._tell = tell
        self._first: Endpoint | None = None
        self.endpoints: dict[str, Endpoint] = {}
        self.route(settings.endpoints, {})

    def route(self, urls: Mapping[str, str], weights: Mapping[str, float]) -> list[Endpoint]:
        """Take over addresses and weights; what is known of a region whose address stays is kept.

        Returns:
            The endpoints that are no more.
        """
        before = self.endpoints
        self.endpoints = {
            region: before[region]
            if region in before and before[region].url == url
            else self._endpoint(region, url)
            for region, url in urls.items()
        }
        for region, endpoint in self.endpoints.items():
            endpoint.weight = weights.get(region, 100.0)
        if self._first is not None and self._first not in self.endpoints.values():
            self._first = None
        kept = set(map(id, self.endpoints.values()))
        return [endpoint for endpoint in before.values() if id(endpoint) not in kept]

    def order(self) -> list[Endpoint]:
        """All endpoints, in the order to ask them in."""
        admitted, others, away = [], [], []
        for endpoint in self._nearest_first(self.endpoints.values()):
            if not endpoint.in_use:
                away.append(endpoint)
            elif self._rng.random() < endpoint.weight / 100 * endpoint.health.share:
                admitted.append(endpoint)
            else:
                others.append(endpoint)
        if admitted:
            self._first = admitted[0]
        return [*admitted, *others, *away]

    def answered(self, endpoint: Endpoint, took_ms: float, service_ms: float) -> None:
        """A good answer came.

        Args:
            endpoint: from which.
            took_ms: as seen here.
            service_ms: of them in the region.
        """
        slow = endpoint.latency.answered(took_ms)
        endpoint.went(max(0.0, took_ms - service_ms))
        endpoint.answers += 1
        endpoint.slow += slow
        endpoint.health.record(failed=False, slow=slow)
        self._judge(endpoint)

    def failed(self, endpoint: Endpoint, kind: str) -> None:
        """A try failed."""
        endpoint.failures[kind] = endpoint.failures.get(kind, 0) + 1
        # A region that turns slow may do so beyond what a try waits for.
        endpoint.health.record(failed=True, slow=kind == TimedOutError.kind)
        self._judge(endpoint)

    def probed(self, endpoint: Endpoint, took_ms: float) -> None:
        """A probe came back."""
        endpoint.went(took_ms)
        returning = endpoint.health.probed(at_once=self._nothing_works())
        if returning:
            # A region that is slower for good would never come back against its old measure.
            endpoint.latency = Latency()
        if not endpoint.latency.answers:
            endpoint.latency.probed(took_ms)
        elif not endpoint.health.counts().total:
            # Nobody asks it, perhaps for how slow it was once.
            endpoint.latency.probed(took_ms + self._deciding_ms())
        if returning:
            self._tell(Returning(region=endpoint.region))

    def _endpoint(self, region: str, url: str) -> Endpoint:
        health = Health(self._settings.ejection, clock=self._clock, rng=self._rng)
        return Endpoint(region=region, url=url, health=health)

    def _nearest_first(self, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Measured ones by latency; one that is not measured keeps its configured place."""
        ordered = list(endpoints)
        places = [at for at, one in enumerate(ordered) if one.latency.mean_ms is not None]
        measured = sorted((ordered[at] for at in places), key=self._distance)
        for at, endpoint in zip(places, measured, strict=True):
            ordered[at] = endpoint
        return ordered

    def _distance(self, endpoint: Endpoint) -> float:
        """How long an answer takes, milliseconds; of one that is only probed, probably."""
        mean_ms = endpoint.latency.mean_ms
        assert mean_ms is not None
        if not endpoint.latency.answers:
            mean_ms += self._deciding_ms()
        return mean_ms * (_STAY if endpoint is self._first else 1.0)

    def _deciding_ms(self) -> float:
        """What a decision takes beyond a probe, by who has answered soonest."""
        beyond = [
            one.latency.mean_ms - one.round_trip_ms
            for one in self.endpoints.values()
            if one.latency.answers and one.latency.mean_ms and one.round_trip_ms
        ]
        return max(0.0, min(beyond, default=0.0))

    def _judge(self, endpoint: Endpoint) -> None:
        why = endpoint.health.trouble()
        if why is None:
            return
        others = [one for one in self.endpoints.values() if one is not endpoint]
        if not any(one.in_use for one in others):
            for one in others:
                one.health.hurry()
            return
        if not self._is_outlier(endpoint, why):
            return
        for_s = endpoint.health.eject()
        if self._first is endpoint:
            self._first = None
        self._tell(Ejected(region=endpoint.region, why=why.value, for_s=for_s))

    def _nothing_works(self) -> bool:
        in_use = [one for one in self.endpoints.values() if one.in_use]
        return all(one.health.trouble() is not None for one in in_use)

    def _is_outlier(self, endpoint: Endpoint, why: Trouble) -> bool:
        enough = self._settings.ejection.calls_min
        peers = [
            one.health.counts()
            for one in self.endpoints.values()
            if one is not endpoint and one.in_use
        ]
        rates = [_rate(counts, why) for counts in peers if counts.total >= enough]
        return not rates or min(rates) < _PEER * _rate(endpoint.health.counts(), why)


def _rate(counts: Counts, why: Trouble) -> float:
    of = counts.slow if why is Trouble.SLOW else counts.failures
    return of / counts.total if counts.total else 0.0
