"""The applier's primary lost: every event counts once.

How often is up to the environment: `STEPDOWN_PROMOTIONS`.
"""

from __future__ import annotations

import os
import random

import pytest
import redis

from app.features.applier import Applier, connect
from app.features.reference import REFERENCE
from app.streams.journal_tail import JournalTail
from tests.integration.exactly_once.setting import (
    SYNC_S_MAX,
    applied_of,
    apply_all,
    modelled,
    shards_on,
    stored,
    wait_until,
    wall_ms,
)

PROMOTIONS = int(os.environ.get("STEPDOWN_PROMOTIONS", "3"))


def replicate(primary, replica):
    replica.client.config_set("repl-diskless-sync-delay", 0)
    primary.client.config_set("repl-diskless-sync-delay", 0)
    replica.client.replicaof("127.0.0.1", primary.port)

    def synced():
        told = replica.client.info("replication")
        return told["master_link_status"] == "up" and (
            told["slave_repl_offset"] >= primary.client.info("replication")["master_repl_offset"]
        )

    wait_until(synced, within_s=SYNC_S_MAX)


def test_a_promoted_replica_that_lacks_the_last_writes_is_brought_up_to_date(valkeys, traffic_on):
    primary, replica = valkeys(), valkeys()
    traffic, rng = traffic_on(), random.Random(3)
    shards = shards_on(traffic.folder, lambda: primary)
    traffic.append(300)
    apply_all(shards, traffic, primary)
    generation = applied_of(primary.client).generation
    lost = 0
    for _ in range(PROMOTIONS):
        replicate(primary, replica)
        traffic.append(rng.randrange(1, 200))
        apply_all(shards, traffic, primary)
        replica.client.replicaof("NO", "ONE")  # from here on it is behind
        traffic.append(rng.randrange(1, 800))
        apply_all(shards, traffic, primary)
        lost += applied_of(primary.client) != applied_of(replica.client)
        primary.kill()
        primary, replica = replica, primary
        apply_all(shards, traffic, primary)
        assert stored([primary.client]) == modelled(traffic.events)
        replica.start()
    assert lost == PROMOTIONS
    assert applied_of(primary.client).generation == generation


def test_a_demoted_primary_is_left_for_the_new_one(valkeys, traffic_on):
    primary, replica = valkeys(), valkeys()
    traffic = traffic_on()
    at = {"primary": primary}
    applier = Applier(
        lambda: connect(at["primary"].shard, None),
        JournalTail(traffic.folder),
        features=REFERENCE,
        now_ms=wall_ms,
    )
    traffic.append(300)
    applier.connect()
    applier.step()
    replicate(primary, replica)
    replica.client.replicaof("NO", "ONE")
    replicate(replica, primary)
    traffic.append(100)
    with pytest.raises(redis.exceptions.ReadOnlyError):
        applier.step()
    at["primary"] = replica
    applier.connect()
    assert applier.step() == 100
    assert stored([replica.client]) == modelled(traffic.events)
