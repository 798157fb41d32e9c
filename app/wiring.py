"""The composition root: the only place that constructs a scorer's clients, breakers and ladder."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from fastapi import FastAPI

from app.api.auth import Keys, load_keys
from app.api.hot import Front, LoopLag
from app.api.routes import create_routes
from app.candidate import Candidate
from app.client_default import ClientDecisions
from app.decide import Decider, InForce
from app.event_time import EventTime, ReplayTime, WallTime
from app.features.directory import Directory, MerchantEntry, load_directory
from app.features.online import OnlineStore, Source
from app.features.shard import ShardClient
from app.features.snapshot import Snapshot, load_snapshot
from app.features.vector import BatchFeatures, FullFeatures, Row
from app.ledger_file import boot_identity
from app.models.artifact import Artifact, load_artifact
from app.models.scorer import ModelScorer
from app.money import DEFAULT_RATES, Rates, load_rates
from app.policy import DEFAULT_POLICY, Policy, load_policy
from app.publish import Published
from app.readiness import Holdings, Probes
from app.record.archive import Archived, archiving
from app.record.claims import Claims
from app.record.frames import Kind
from app.record.intake import Intake
from app.record.journal import Journal, open_journal
from app.record.made import Versions
from app.record.recorder import Recorder
from app.record.signing import ensure_signing_key
from app.record.token import TokenSigner, token_secret
from app.routing import RoutingSource
from app.rule_inputs import rule_inputs
from app.rulebook import load_rules
from app.settings import ScorerSettings
from app.stand_in import StandIn
from app.telemetry import Pusher, Telemetry
from app.tracing import Tracing, export_to
from app.verdict import standing_facts
from app.watched import WatchedFile
from app.weights import Weights, load_weights, weights_path
from fallback.brake import VelocityBrake
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import SystemClock
from fallback.ladder import Ladder, Step
from fallback.pressure import Pressure, PressureSettings
from fallback.rules import RuleSet
from fallback.rung import RungName
from fallback.rungs.rules import RulesRung
from fallback.rungs.scored import ScoredRung
from fallback.rungs.tier_default import TierDefaultRung
from regions.topology import load_topology

__all__ = ["Scorer"]

T = TypeVar("T")

log = logging.getLogger(__name__)

HOUR_MS = 3_600_000
PUSH_S = 1.0
# Part of the deadline that a queue may take before requests start from lower rungs.
PRESSURE_SHARE = 0.125


class Scorer:
    """One scorer process: everything it holds, wired."""

    def __init__(self, settings: ScorerSettings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._time: EventTime = ReplayTime() if settings.replay else WallTime()
        self._rng = random.Random()
        self.telemetry = Telemetry()
        self._region = load_topology().region(settings.region).number
        self._publish()
        self._sources = self._make_sources()
        self._probes = Probes(self._sources, now_ms=self._time.now_ms)
        self._scorers = {
            rung: ModelScorer(
                rung, artifact=self.artifact, breaker=self._breaker(f"model:{rung}", _MODEL)
            )
            for rung in (RungName.FULL, RungName.BATCH)
        }
        self._signer = ensure_signing_key(settings.home / "secrets" / "journal-key")
        target_ms = settings.deadline_target_ms * PRESSURE_SHARE
        self._pressure = Pressure(PressureSettings(target_ms=target_ms))
        self._recorder = Recorder(self._open_journal, region=self._region, clock=self._clock)
        self._stand_in = self._make_stand_in()
        self.holdings = self._make_holdings()
        self._tracing = self._make_tracing()
        self._token_signer = TokenSigner(token_secret(settings.home / "secrets" / "token"))
        self.decider = self._make_decider()
        self._lag = LoopLag(self._clock, told=self._pressure.tick)
        self.holdings.refresh()

    def app(self) -> Front:
        """The ASGI app of this process."""
        intake = self._make_intake()
        routes = create_routes(
            keys=self._keys_in_force,
            gauges=self.holdings.gauges,
            intake=intake,
            client_decisions=self._make_client_decisions(intake),
            routing=self._make_routing(),
            journal=self._settings.journal,
            region=self._region,
            replay=self._settings.replay,
            lifespan=self._lifespan,
        )
        return Front(
            routes,
            decider=lambda: self.decider,
            keys=self._keys_in_force,
            telemetry=self.telemetry,
            clock=self._clock,
            lag=self._lag,
            deadline_ms=self._settings.deadline_target_ms,
        )

    def artifact(self) -> Artifact | None:
        """The artifact that may decide: a simulated one only in the development profile."""
        artifact = self._model.value
        if artifact is None:
            return None
        simulated = artifact.facts.provenance == "simulated"
        if simulated and self._settings.profile != "development":
            return None
        return artifact

    def _publish(self) -> None:
        """What is followed on disk."""
        published, home = self._settings.published, self._settings.home
        self._model: Published[Artifact] = Published(
            published / "model",
            partial(
                load_artifact,
                features=self._settings.feature_set,
                accelerate=self._settings.accelerator != "none",
            ),
        )
        self._snapshot: Published[Snapshot] = Published(
            published / "snapshot", partial(load_snapshot, features=self._settings.feature_set)
        )
        self._directory: Published[Directory] = Published(
            published / "merchants",
            partial(load_directory, trusted=self._settings.trusted_keys),
        )
        archive = self._settings.region_folder / "archive"
        lists = ("lists/*.txt",)
        self._rules: WatchedFile[Archived[RuleSet]] = WatchedFile(
            published / "rules" / "rules.yaml",
            archiving(archive / "rules", load_rules, beside=lists),
            beside=lists,
        )
        self._policy: WatchedFile[Archived[Policy]] = _with_default(
            published / "policy.yaml", archiving(archive / "policy", load_policy), DEFAULT_POLICY
        )
        self._rates: WatchedFile[Archived[Rates]] = _with_default(
            published / "rates.yaml", archiving(archive / "rates", load_rates), DEFAULT_RATES
        )
        self._weights: WatchedFile[Weights] = WatchedFile(weights_path(home), load_weights)
        self._keys: WatchedFile[Keys] = WatchedFile(
            home / "keys.json", load_keys, keep_when_gone=True
        )

    def _make_sources(self) -> list[Source]:
        settings, password = self._settings, self._settings.datastore_password()
        return [
            Source(
                address.region,
                [
                    ShardClient(
                        shard,
                        password=password,
                        timeout_ms=settings.source_timeout_ms,
                        region=address.region,
                    )
                    for shard in address.shards
                ],
                breakers=[
                    self._breaker(
                        f"source:{address.region}/{shard}",
                        BreakerPolicy(slow_call_ms=settings.source_timeout_ms * 0.6),
                    )
                    for shard in range(len(address.shards))
                ],
            )
            for address in settings.source_addresses()
        ]

    def _own_source(self) -> Source | None:
        """The store that this region writes; attempt records go there alone."""
        own = (source for source in self._sources if source.region == self._settings.region)
        return next(own, None)

    def _make_holdings(self) -> Holdings:
        return Holdings(
            artifact=self.artifact,
            snapshot=self._snapshot,
            rules=self._rules_in_force,
            published={
                "model": self._model,
                "snapshot": self._snapshot,
                "merchants": self._directory,
            },
            files={
                "rules": self._rules,
                "policy": self._policy,
                "rates": self._rates,
                "weights": self._weights,
                "keys": self._keys,
            },
            probes=self._probes,
            breakers=[
                *(breaker for source in self._sources for breaker in source.breakers),
                *(scorer.breaker for scorer in self._scorers.values()),
            ],
            recorder=self._recorder,
            pressure=self._pressure,
            stand_in=self._stand_in,
            counters_age_max_ms=self._settings.counters_age_max_ms,
            snapshot_age_max_ms=self._snapshot_age_max_ms(),
        )

    def _make_stand_in(self) -> StandIn | None:
        """A replay approves nothing: what it measures is the rung, not a budget of today."""
        if self._settings.replay:
            return None
        return StandIn(
            self._settings.stand_in,
            hosts=self._settings.fleet_hosts,
            workers=self._settings.workers,
            policy=self._policy_in_force,
            clock=self._clock,
            identity=boot_identity,
            telemetry=self.telemetry,
        )

    def _make_tracing(self) -> Tracing | None:
        if not self._settings.otlp_endpoint:
            return None
        return Tracing(
            export_to(self._settings.otlp_endpoint),
            share=self._settings.trace_share,
            region=self._settings.region,
            telemetry=self.telemetry,
            rng=self._rng,
        )

    def _make_decider(self) -> Decider:
        return Decider(
            region=self._settings.region,
            ladder=self._make_ladder(),
            pressure=self._pressure,
            in_force=InForce(
                policy=self._policy_in_force,
                rates=self._rates_in_force,
                rules=self._rules_in_force,
                directory=lambda: self._directory.value,
                versions=self._versions_in_force,
            ),
            brake=VelocityBrake(clock=self._time),
            claims=Claims(
                self._own_source(),
                of="attempt",
                ttl_s=self._settings.attempt_ttl_s,
                copies=[one for one in self._sources if one.region != self._settings.region],
            ),
            stand_in=self._stand_in,
            recorder=self._recorder,
            signer=self._token_signer,
            telemetry=self.telemetry,
            tracing=self._tracing,
            time=self._time,
        )

    def _make_intake(self) -> Intake:
        topology = load_topology()
        return Intake(
            recorder=self._recorder,
            claims={
                kind: Claims(
                    self._own_source(), of=kind.name.lower(), ttl_s=self._settings.follow_up_ttl_s
                )
                for kind in (Kind.OUTCOME, Kind.LABEL)
            },
            regions={region.number: name for name, region in topology.regions.items()},
            region=self._region,
            time=self._time,
        )

    def _make_client_decisions(self, intake: Intake) -> ClientDecisions:
        return ClientDecisions(
            region=self._settings.region,
            claims=Claims(self._own_source(), of="attempt", ttl_s=self._settings.follow_up_ttl_s),
            intake=intake,
            recorder=self._recorder,
            policy=self._policy_in_force,
            rates=self._rates_in_force,
            versions=self._versions_in_force,
            merchant=self._listed,
            signer=self._token_signer,
            telemetry=self.telemetry,
            time=self._time,
        )

    def _make_routing(self) -> RoutingSource:
        return RoutingSource(
            endpoints=self._settings.endpoint_addresses(),
            weights=lambda: self._weights.value,
            policy=self._policy_in_force,
            rates=self._rates_in_force,
            directory=lambda: self._directory.value,
            answer_key=self._token_signer.answer_key,
            signer=self._signer,
            now_ms=self._time.now_ms,
        )

    def _make_ladder(self) -> Ladder[Candidate]:
        features = self._settings.feature_set
        batch = BatchFeatures(
            lambda: self._snapshot.value,
            features=features,
            now_ms=self._time.now_ms,
            age_max_ms=self._snapshot_age_max_ms(),
        )
        store = OnlineStore(
            self._sources,
            features=features,
            now_ms=self._time.now_ms,
            age_max_ms=self._settings.counters_age_max_ms,
        )
        full: ScoredRung[Candidate, Row] = ScoredRung(
            RungName.FULL,
            features=FullFeatures(
                batch,
                store,
                features=features,
                masked=self._masked,
                as_of_ms=self._time.as_of_ms,
            ),
            scorer=self._scorers[RungName.FULL],
        )
        without_counters: ScoredRung[Candidate, Row] = ScoredRung(
            RungName.BATCH, features=batch, scorer=self._scorers[RungName.BATCH]
        )
        rules: RulesRung[Candidate] = RulesRung(
            rules=self._rules_in_force,
            inputs_of=lambda candidate: rule_inputs(candidate, self._policy_in_force()),
        )
        last: TierDefaultRung[Candidate] = TierDefaultRung(
            standing=lambda: self._policy_in_force().standing, facts_of=standing_facts
        )
        return Ladder(
            [
                Step(rung=full, needed_ms=8.0),
                Step(rung=without_counters, needed_ms=3.0),
                Step(rung=rules, needed_ms=0.5),
            ],
            last,
            clock=self._clock,
            listener=self.telemetry.on_event,
            reserve_ms=10.0,
        )

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        _spare_what_stays()
        works = [self._lag.measure(), self._probes.run(), self._follow(), self._push()]
        if self._tracing is not None:
            works.append(self._tracing.run())
        tasks = [asyncio.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for source in self._sources:
            await source.close()
        self._recorder.close()

    async def _follow(self) -> None:
        """Follow what is published; the disk work is not for the loop's thread."""
        while True:
            await asyncio.sleep(self._settings.poll_s)
            try:
                await asyncio.to_thread(self.holdings.refresh)
            except Exception:
                log.exception("what is published could not be looked at")
                self.telemetry.count("bugs", "refresh")

    async def _push(self) -> None:
        pusher = Pusher(self._settings.api_host, self._settings.operations_port, self.telemetry)
        with contextlib.closing(pusher):
            while True:
                try:
                    self._count_records()
                    pusher.send(self.holdings.gauges)
                except Exception:
                    log.exception("telemetry could not be pushed")
                    self.telemetry.count("bugs", "push")
                await asyncio.sleep(PUSH_S)

    def _count_records(self) -> None:
        self.telemetry.counters["journal_records"] = self._recorder.written
        self.telemetry.counters["journal_missing"] = self._recorder.missing

    def _breaker(self, name: str, policy: BreakerPolicy) -> Breaker:
        return Breaker(
            name, policy, clock=self._clock, rng=self._rng, listener=self.telemetry.on_event
        )

    def _open_journal(self) -> Journal:
        return open_journal(
            self._settings.journal,
            region=self._region,
            signer=self._signer,
            fsync_ms=self._settings.fsync_ms,
            segment_bytes=self._settings.journal_segment_bytes,
            bytes_max=self._settings.journal_bytes_max,
        )

    def _snapshot_age_max_ms(self) -> float:
        """Development serves a snapshot of simulated days, which has no age to speak of."""
        hours = self._settings.snapshot_age_max_h
        if self._settings.profile == "development" or not hours:
            return float("inf")
        return hours * HOUR_MS

    def _policy_in_force(self) -> Policy:
        assert self._policy.value is not None
        return self._policy.value.value

    def _rates_in_force(self) -> Rates:
        assert self._rates.value is not None
        return self._rates.value.value

    def _rules_in_force(self) -> RuleSet | None:
        return None if self._rules.value is None else self._rules.value.value

    def _versions_in_force(self) -> Versions:
        policy, rates, rules = self._policy.value, self._rates.value, self._rules.value
        assert policy is not None
        assert rates is not None
        recorded = {
            "policy": policy.identity,
            "rates": rates.identity,
            "features": str(self._settings.feature_set.schema),
        }
        if rules is not None:
            recorded["rules"] = rules.identity
        if self._directory.version is not None:
            recorded["directory"] = self._directory.version
        return Versions(
            policy=policy.value.version,
            rates=rates.value.version,
            features=self._settings.feature_set,
            recorded=recorded,
        )

    def _masked(self) -> Collection[str]:
        """What of the counters the model in force can do without."""
        artifact = self.artifact()
        return () if artifact is None else artifact.facts.masked

    def _listed(self, tenant: str, merchant_id: str) -> MerchantEntry | None:
        directory = self._directory.value
        return None if directory is None else directory.get(tenant, merchant_id)

    def _keys_in_force(self) -> Keys:
        return self._keys.value or Keys(())


_MODEL = BreakerPolicy(slow_call_ms=40.0)


def _spare_what_stays() -> None:
    """Keep the collector off what lives as long as the process: walking it stops every decision.

    What decisions leave behind is freed by reference counts; cycles are rare, and few objects are
    left to look for them in.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _with_default(path: Path, load: Callable[[Path], T], default: Path) -> WatchedFile[T]:
    """A file that may be absent: what ships with the service then holds."""
    watched: WatchedFile[T] = WatchedFile(path, load, keep_when_gone=True)
    watched.value = load(default)
    return watched
