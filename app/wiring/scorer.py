"""One scorer process, put together."""

from __future__ import annotations

from app.api.hot import Front, LoopLag
from app.api.routes import create_routes
from app.decide import Decider
from app.ledger_file import boot_identity
from app.making import Making
from app.readiness import Holdings, Probes
from app.routing import RoutingSource
from app.settings import ScorerSettings
from app.stand_in import StandIn
from app.tracing import Tracing, export_to
from app.wiring.followed import Followed
from app.wiring.lifespan import Lifespan
from app.wiring.records import Records
from app.wiring.rungs import Rungs
from app.wiring.shared import share
from app.wiring.sources import make_claim_store, make_sources
from fallback.brake import VelocityBrake
from fallback.pressure import Pressure, PressureSettings
from fallback.rung import RungName

__all__ = ["Scorer"]

# Part of the deadline that a queue may take before requests start from lower rungs.
PRESSURE_SHARE = 0.125
# `batch` costs what `full` does, and `rules` what the last rung does: see `bench hot`.
PRESSED_RUNGS = (RungName.FULL, RungName.TIER_DEFAULT)


class Scorer:
    """One scorer process: everything it holds, wired."""

    def __init__(self, settings: ScorerSettings) -> None:
        self._settings = settings
        self._shared = shared = share(settings)
        self._followed = followed = Followed(settings)
        self._sources = make_sources(shared)
        self._probes = Probes(self._sources, now_ms=shared.time.now_ms)
        self._rungs = Rungs(shared, followed)
        self._scorers = self._rungs.scorers("model", followed.artifact, shared.telemetry.on_event)
        self._pressure = Pressure(
            PressureSettings(target_ms=settings.deadline_target_ms * PRESSURE_SHARE),
            rungs=PRESSED_RUNGS,
        )
        self._claim_store = make_claim_store(shared, self._sources)
        self._records = Records(shared, self._claim_store)
        self._stand_in = self._make_stand_in()
        self._holdings = self._make_holdings()
        self._tracing = self._make_tracing()
        self._background = self._rungs.background(self._pressure)
        self._decider = self._make_decider()
        self._front: Front | None = None
        self._lag = LoopLag(shared.clock, told=self._tick)
        self._holdings.refresh()

    def app(self) -> Front:
        """The ASGI app of this process."""
        intake = self._records.intake()
        routes = create_routes(
            keys=self._followed.keys,
            gauges=self._holdings.gauges,
            intake=intake,
            client_decisions=self._records.client_decisions(intake, self._followed),
            routing=self._make_routing(),
            journal=self._settings.journal,
            region=self._shared.region,
            replay=self._settings.replay,
            lifespan=self._make_lifespan().run,
        )
        self._front = Front(
            routes,
            decider=lambda: self._decider,
            keys=self._followed.keys,
            telemetry=self._shared.telemetry,
            clock=self._shared.clock,
            lag=self._lag,
            gather_ms=self._settings.gather_ms,
            deadline_ms=self._settings.deadline_target_ms,
        )
        return self._front

    def _tick(self, lag_ms: float) -> None:
        """What waits for the event loop, or in front of it, is pressure."""
        waiting_ms = 0.0 if self._front is None else self._front.waiting_ms()
        self._pressure.tick(max(lag_ms, waiting_ms))

    def _make_stand_in(self) -> StandIn | None:
        """A replay approves nothing: what it measures is the rung, not a budget of today."""
        if self._settings.replay:
            return None
        return StandIn(
            self._settings.stand_in,
            hosts=self._settings.fleet_hosts,
            workers=self._settings.workers,
            policy=self._followed.policy,
            clock=self._shared.clock,
            identity=boot_identity,
            telemetry=self._shared.telemetry,
        )

    def _make_holdings(self) -> Holdings:
        followed = self._followed
        return Holdings(
            artifact=followed.artifact,
            snapshot=followed.snapshot,
            rules=followed.rules,
            published=followed.published,
            files=followed.files,
            probes=self._probes,
            breakers=[
                *(breaker for source in self._sources for breaker in source.breakers),
                *(() if self._claim_store is None else self._claim_store.breakers),
                *(scorer.breaker for scorer in self._scorers.values()),
            ],
            recorder=self._records.recorder,
            pressure=self._pressure,
            stand_in=self._stand_in,
            counters_age_max_ms=self._settings.counters_age_max_ms,
            snapshot_age_max_ms=followed.snapshot_age_max_ms(),
        )

    def _make_tracing(self) -> Tracing | None:
        if not self._settings.otlp_endpoint:
            return None
        return Tracing(
            export_to(self._settings.otlp_endpoint),
            share=self._settings.trace_share,
            region=self._settings.region,
            telemetry=self._shared.telemetry,
            rng=self._shared.rng,
        )

    def _make_decider(self) -> Decider:
        shared, records = self._shared, self._records
        ladder = self._rungs.ladder(self._sources, self._scorers)
        making = Making(
            region=self._settings.region,
            in_force=self._followed.in_force(),
            brake=VelocityBrake(clock=shared.time),
            stand_in=self._stand_in,
            last_resort=ladder.last_resort,
            recorder=records.recorder,
            signer=records.token_signer,
            telemetry=shared.telemetry,
            followers=[one for one in (self._tracing, self._background) if one is not None],
            time=shared.time,
        )
        return Decider(
            ladder=ladder,
            pressure=self._pressure,
            making=making,
            claims=records.claims(
                "attempt",
                ttl_s=self._settings.attempt_ttl_s,
                copies=[one for one in self._sources if one.region != self._settings.region],
            ),
            telemetry=shared.telemetry,
        )

    def _make_routing(self) -> RoutingSource:
        followed, records = self._followed, self._records
        return RoutingSource(
            endpoints=self._settings.endpoint_addresses(),
            weights=followed.weights,
            policy=followed.policy,
            rates=followed.rates,
            directory=followed.directory,
            answer_key=records.token_signer.answer_key,
            signer=records.signer,
            now_ms=self._shared.time.now_ms,
        )

    def _make_lifespan(self) -> Lifespan:
        return Lifespan(
            shared=self._shared,
            lag=self._lag,
            probes=self._probes,
            holdings=self._holdings,
            tracing=self._tracing,
            background=self._background,
            sources=self._sources,
            recorder=self._records.recorder,
        )
