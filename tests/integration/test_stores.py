"""Whose copies of a region's counters are behind, on real servers."""

from __future__ import annotations

import msgspec
import pytest
import redis

from app.features.applier import APPLIED_KEY, Applied
from app.settings import ScorerSettings
from regions.operations.stores import Stores


def put(server, **positions):
    applied = Applied(generation="g", ready=True, as_of_ms=0, positions=positions)
    server.client.set(APPLIED_KEY, msgspec.msgpack.encode(applied))


@pytest.fixture
def stores(valkeys):
    """The store of us-east-1, and the copy of it that eu-west-1 reads."""
    own, copy = valkeys(), valkeys()
    here, there = (f"127.0.0.1:{one.port}" for one in (own, copy))
    settings = {
        "us-east-1": ScorerSettings(store=here, sources=f"us-east-1={here}"),
        "eu-west-1": ScorerSettings(store=there, sources=f"eu-west-1={there},us-east-1={there}"),
    }
    return Stores(settings=settings), own, copy


def test_a_copy_that_has_everything_is_not_behind(stores):
    found, own, copy = stores
    put(own, w=(1, 5))
    put(copy, w=(1, 5))
    assert found.behind("us-east-1") == {}


def test_a_copy_that_lacks_events_is_cold_or_is_away_is_named(stores):
    found, own, copy = stores
    put(own, w=(1, 5))
    assert found.behind("us-east-1") == {"eu-west-1": "is cold"}
    put(copy, w=(1, 4))
    assert found.behind("us-east-1") == {"eu-west-1": "lacks events of 1 writers"}
    copy.kill()
    assert found.behind("us-east-1")["eu-west-1"].startswith("does not answer")


def test_an_own_store_that_is_cold_or_unreadable_is_an_error(stores):
    found, own, _ = stores
    with pytest.raises(redis.RedisError, match="shard 0 of us-east-1 is cold"):
        found.behind("us-east-1")
    own.client.set(APPLIED_KEY, b"\xc1")
    with pytest.raises(redis.RedisError, match="no readable marker"):
        found.own("us-east-1")
