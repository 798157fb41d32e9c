"""A region's counters away: the full rung goes on where training says so, else the batch rung."""

import random
import time
from dataclasses import replace

import msgspec
import pytest

from app.api.wire import Attempt
from app.candidate import Candidate, entity_ids
from app.features.applier import APPLIED_KEY, Applied
from app.features.online import OnlineStore, Source
from app.features.reference import REFERENCE
from app.features.shard import ShardClient
from app.features.snapshot import load_snapshot
from app.features.vector import BatchFeatures, FullFeatures
from app.models.artifact import load_artifact
from app.models.scorer import ModelScorer
from app.policy import DEFAULT_POLICY, load_policy
from app.publish import current
from app.registry import DEMO_TENANT
from app.samples import load_samples
from app.verdict import standing_facts
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.ladder import Ladder, Step
from fallback.rung import Reason, RungName
from fallback.rungs.scored import ScoredRung
from fallback.rungs.tier_default import TierDefaultRung

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")
CLOCK = SystemClock()
# Loose enough for a busy machine; what is tested here is not speed.
BUDGET_MS, TIMEOUT_MS = 2_000, 500


def wall_ms():
    return time.time_ns() // 1_000_000


def breaker(name):
    return Breaker(name, BreakerPolicy(), clock=CLOCK, rng=random.Random(1))


@pytest.fixture
def servers(valkeys):
    """The stores of three regions, nothing counted yet and everything applied."""
    made = [valkeys() for _ in REGIONS]
    applied = Applied(generation="g", ready=True, as_of_ms=wall_ms(), positions={})
    for server in made:
        server.client.set(APPLIED_KEY, msgspec.msgpack.encode(applied))
    return made


@pytest.fixture
async def store(servers):
    sources = [
        Source(
            region,
            [ShardClient(server.shard, password=None, timeout_ms=TIMEOUT_MS, region=region)],
            breakers=[breaker(region)],
        )
        for region, server in zip(REGIONS, servers, strict=True)
    ]
    made = OnlineStore(sources, features=REFERENCE, now_ms=wall_ms, age_max_ms=60_000)
    yield made
    await made.close()


@pytest.fixture(scope="module")
def artifact(trained):
    folder = trained / "registry" / "model"
    return load_artifact(folder, current(folder))


@pytest.fixture(scope="module")
def snapshot(trained):
    folder = trained / "registry" / "snapshot"
    return load_snapshot(folder, current(folder), features=REFERENCE)


@pytest.fixture
def ladder(store, snapshot, artifact):
    """Makes the rungs with models, as a scorer has them, of a model that can do without."""

    def make(masked):
        model = replace(artifact, facts=msgspec.structs.replace(artifact.facts, masked=masked))
        batch = BatchFeatures(
            lambda: snapshot, features=REFERENCE, now_ms=wall_ms, age_max_ms=float("inf")
        )
        full = FullFeatures(batch, store, features=REFERENCE, masked=lambda: model.facts.masked)
        steps = [
            Step(
                rung=ScoredRung(
                    name,
                    features=features,
                    scorer=ModelScorer(name, artifact=lambda: model, breaker=breaker(name)),
                ),
                needed_ms=1.0,
            )
            for name, features in ((RungName.FULL, full), (RungName.BATCH, batch))
        ]
        standing = load_policy(DEFAULT_POLICY).standing
        last = TierDefaultRung(standing=lambda: standing, facts_of=standing_facts)
        return Ladder(steps, last, clock=CLOCK)

    return make


@pytest.fixture(scope="module")
def candidate(trained):
    (sample, *_) = load_samples(trained)
    attempt = msgspec.convert({**sample.body, "attempt_id": "att_1"}, Attempt)
    return Candidate(
        attempt=attempt,
        tenant=DEMO_TENANT,
        received_ms=wall_ms(),
        amount_ref=4_900,
        merchant=None,
        ids=entity_ids(attempt),
        velocity={},
    )


async def descent(rungs, candidate):
    (found,) = await rungs.assess([candidate], Deadline.after(budget_ms=BUDGET_MS, clock=CLOCK))
    return found


@pytest.mark.parametrize(
    ("masked", "one_away"),
    [(["entities", "regions"], RungName.FULL), (["entities"], RungName.BATCH)],
)
async def test_with_one_region_of_three_away_the_rung_is_the_one_that_training_found_better(
    servers, ladder, candidate, masked, one_away
):
    rungs = ladder(masked)
    assert (await descent(rungs, candidate)).rung is RungName.FULL
    servers[1].kill()
    for _ in range(20):  # before and after its breaker opens
        found = await descent(rungs, candidate)
        assert found.rung is one_away
    reasons = {RungName.FULL: Reason.SOURCE_UNAVAILABLE}
    assert found.not_higher == ({} if one_away is RungName.FULL else reasons)


async def test_with_two_regions_of_three_away_batch_answers_whatever_the_model_can_do_without(
    servers, ladder, candidate
):
    rungs = ladder(["entities", "regions"])
    for server in servers[1:]:
        server.kill()
    assert (await descent(rungs, candidate)).rung is RungName.BATCH
