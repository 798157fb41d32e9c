"""Claims in a real datastore: one effect for one id, and never a lost answer for want of a store."""

import asyncio
import random

import pytest

from app.features.applier import shard_of
from app.features.online import OnlineStore, Source, replied
from app.features.reference import REFERENCE
from app.features.shard import ShardClient
from app.features.spec import Entity
from app.record.claim_store import ClaimStore
from app.record.claims import Claim, Claims, ClaimState, Entry, Id
from fallback.breaker import Breaker
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.errors import RungError
from fallback.events import StateName

CLOCK = SystemClock()
ONE, OTHER = b"1" * 16, b"2" * 16
NEW, PENDING = Claim(ClaimState.NEW), Claim(ClaimState.PENDING)


def breaker(name):
    return Breaker(name, clock=CLOCK, rng=random.Random(1))


def source_of(server, region):
    shard = ShardClient(server.shard, password=None, timeout_ms=200, region=region)
    return Source(region, [shard], breakers=[breaker(f"source:{region}/0")])


def written(source):
    """The same store, written to."""
    return ClaimStore(source.shards, breakers=[breaker(f"claims:{source.region}/0")])


@pytest.fixture
async def source(valkey):
    made = source_of(valkey, "here")
    yield made
    await made.close()


@pytest.fixture
def store(source):
    return written(source)


@pytest.fixture
def copy_server(valkeys):
    """The local copy of another region's store."""
    return valkeys()


@pytest.fixture
async def there(copy_server):
    made = source_of(copy_server, "there")
    yield made
    await made.close()


@pytest.fixture
def elsewhere(there):
    """Claims as the other region makes them; their copy is here at once."""
    return Claims(written(there), of="attempt", ttl_s=60)


@pytest.fixture
def both(store, there):
    return Claims(store, of="attempt", ttl_s=60, copies=[there])


@pytest.fixture
def claims(store):
    return Claims(store, of="attempt", ttl_s=60)


async def settled(claims, *arguments):
    claims.settle(*arguments)
    await asyncio.sleep(0.05)


async def claim_all(claims, *ids):
    return await claims.claim_all([Id(*id) for id in ids]).claims()


async def enter(claims, *entries):
    """Each is tenant, id, hash of the body, answer."""
    return await claims.enter_all([Entry(Id(*id), answer) for *id, answer in entries]).claims()


async def values(source, *names):
    read = source.ask_values(names)
    await replied(read.replies)
    return read.values()


async def test_a_new_id_is_new_once(claims):
    assert await claims.claim("t", "a1", ONE) == NEW
    assert await claims.claim("t", "a1", ONE) == PENDING


async def test_a_repeat_gets_the_answer_that_was_left(claims):
    await claims.claim("t", "a1", ONE)
    await settled(claims, "t", "a1", ONE, b"approve")
    assert await claims.claim("t", "a1", ONE) == Claim(ClaimState.ANSWERED, b"approve")


async def test_the_same_id_with_another_body_is_told_apart_before_and_after_the_answer(claims):
    await claims.claim("t", "a1", ONE)
    assert (await claims.claim("t", "a1", OTHER)).state is ClaimState.OTHER_BODY
    await settled(claims, "t", "a1", ONE, b"approve")
    assert (await claims.claim("t", "a1", OTHER)).state is ClaimState.OTHER_BODY
    assert (await claims.claim("t", "a1", ONE)).state is ClaimState.ANSWERED


async def test_tenants_and_kinds_do_not_share_ids(claims, store):
    await claims.claim("t", "a1", ONE)
    assert await claims.claim("u", "a1", OTHER) == NEW
    assert await Claims(store, of="label", ttl_s=60).claim("t", "a1", OTHER) == NEW


async def test_of_many_at_once_exactly_one_is_new(claims):
    found = await asyncio.gather(*(claims.claim("t", "a1", ONE) for _ in range(50)))
    assert sorted(claim.state for claim in found) == [ClaimState.NEW] + [ClaimState.PENDING] * 49


async def test_of_many_in_one_ask_the_first_is_new(claims):
    assert await claim_all(claims, *[("t", "a1", ONE)] * 50) == [NEW] + [PENDING] * 49


async def test_ids_that_are_claimed_together_get_each_its_own(claims):
    await claims.claim("t", "a1", ONE)
    await settled(claims, "t", "a2", ONE, b"approve")
    asked = [("t", "a1", ONE), ("t", "a2", ONE), ("t", "a3", ONE), ("u", "a1", OTHER)]
    assert await claim_all(claims, *asked) == [
        PENDING,
        Claim(ClaimState.ANSWERED, b"approve"),
        NEW,
        NEW,
    ]


async def test_many_at_once_with_two_bodies_agree_on_whose_id_it_is(claims):
    asked = [ONE, OTHER, ONE, OTHER]
    expected = [
        ClaimState.NEW,
        ClaimState.OTHER_BODY,
        ClaimState.PENDING,
        ClaimState.OTHER_BODY,
    ]
    apart = await asyncio.gather(*(claims.claim("t", "a1", body) for body in asked))
    assert [claim.state for claim in apart] == expected
    together = await claim_all(claims, *(("t", "a2", body) for body in asked))
    assert [claim.state for claim in together] == expected


async def test_a_claim_ends(store):
    claims = Claims(store, of="attempt", ttl_s=1)
    assert await claims.claim("t", "a1", ONE) == NEW
    await asyncio.sleep(1.1)
    assert await claims.claim("t", "a1", OTHER) == NEW


async def test_without_a_store_every_id_is_unknown_and_nothing_fails(claims, valkey):
    valkey.kill()
    assert (await claims.claim("t", "a1", ONE)).state is ClaimState.UNKNOWN
    await settled(claims, "t", "a1", ONE, b"approve")
    assert claims.unsettled == 1
    assert (await Claims(None, of="attempt", ttl_s=1).claim("t", "a", ONE)).state is (
        ClaimState.UNKNOWN
    )


async def test_a_store_that_takes_no_writes_is_read_all_the_same(claims, source, store, valkey):
    valkey.client.set("counter", b"7")
    valkey.client.config_set("maxmemory", 1)
    for number in range(100):
        claim = await claims.claim("t", f"a{number}", ONE)
        assert claim.state is ClaimState.UNKNOWN
    assert source.breakers[0].state is StateName.CLOSED
    assert await values(source, "counter") == {"counter": b"7"}
    assert store.breakers[0].state is StateName.OPEN


async def test_reads_that_are_refused_open_their_breaker_however_many_claims_go_well(
    claims, source, store, valkey
):
    valkey.client.execute_command("ACL", "SETUSER", "default", "-mget")
    for number in range(20):
        await enter(claims, ("t", f"a{number}", ONE, b"approve"))
        assert await values(source, "counter") == {}
    assert source.breakers[0].state is StateName.OPEN
    assert store.breakers[0].state is StateName.CLOSED
    assert await claims.claim("t", "a1", ONE) == Claim(ClaimState.ANSWERED, b"approve")


async def test_a_claim_and_the_counters_of_its_attempt_are_one_round_trip(claims, source, valkey):
    store = OnlineStore([source], features=REFERENCE, now_ms=lambda: 0, age_max_ms=1_000)
    await claims.claim("t", "first", ONE)  # the connection is there
    before = valkey.client.info("stats")["total_reads_processed"]
    deadline = Deadline.after(budget_ms=500, clock=CLOCK)
    claiming = claims.claim_all([Id("t", "a1", ONE)])
    with pytest.raises(RungError, match="cold"):
        await store.read("t", {Entity.CARD: "tok_1"}, deadline, amount=1.0)
    assert await claiming.claims() == [NEW]
    after = valkey.client.info("stats")["total_reads_processed"]
    assert after - before == 2, "the attempt, and this test asking"


async def test_what_another_region_answered_is_answered_alike_and_then_known_here(
    both, claims, elsewhere, copy_server
):
    await elsewhere.claim("t", "a1", ONE)
    await settled(elsewhere, "t", "a1", ONE, b"approve")
    assert await both.claim("t", "a1", ONE) == Claim(ClaimState.ANSWERED, b"approve")
    assert (await both.claim("t", "a1", OTHER)).state is ClaimState.OTHER_BODY
    await asyncio.sleep(0.05)
    copy_server.kill()
    assert await claims.claim("t", "a1", ONE) == Claim(ClaimState.ANSWERED, b"approve")


async def test_what_another_region_is_still_deciding_is_decided_here_too(both, elsewhere):
    await elsewhere.claim("t", "a1", ONE)
    assert await both.claim("t", "a1", ONE) == NEW


async def test_of_several_answers_the_own_one_holds(both, elsewhere):
    for claims, answer in ((elsewhere, b"decline"), (both, b"step_up")):
        await claims.claim("t", "a1", ONE)
        claims.settle("t", "a1", ONE, answer)
    await asyncio.sleep(0.05)
    assert await both.claim("t", "a1", ONE) == Claim(ClaimState.ANSWERED, b"step_up")


async def test_a_body_that_was_refused_here_does_not_bar_the_one_that_was_answered_elsewhere(
    both, claims, elsewhere
):
    await elsewhere.claim("t", "a1", ONE)
    await claims.claim("t", "a1", OTHER)
    await settled(elsewhere, "t", "a1", ONE, b"approve")
    assert await both.claim("t", "a1", ONE) == Claim(ClaimState.ANSWERED, b"approve")


async def test_a_repeat_twice_in_one_ask_gets_the_answer_twice(claims):
    await claims.claim("t", "a1", ONE)
    await settled(claims, "t", "a1", ONE, b"approve")
    twice = [("t", "a1", ONE)] * 2
    assert await claim_all(claims, *twice) == [Claim(ClaimState.ANSWERED, b"approve")] * 2


async def test_a_copy_that_is_away_costs_no_claim_and_a_store_that_is_away_no_answer(
    both, elsewhere, copy_server, valkey
):
    await elsewhere.claim("t", "a1", ONE)
    await settled(elsewhere, "t", "a1", ONE, b"approve")
    valkey.kill()
    assert await both.claim("t", "a1", ONE) == Claim(ClaimState.ANSWERED, b"approve")
    assert (await both.claim("t", "a2", ONE)).state is ClaimState.UNKNOWN
    valkey.start()
    copy_server.kill()
    assert await both.claim("t", "a3", ONE) == NEW


async def test_a_look_into_a_copy_and_its_counters_are_one_round_trip(
    both, source, there, copy_server
):
    store = OnlineStore([source, there], features=REFERENCE, now_ms=lambda: 0, age_max_ms=1_000)
    await both.claim("t", "first", ONE)  # the connections are there
    before = copy_server.client.info("stats")["total_reads_processed"]
    deadline = Deadline.after(budget_ms=500, clock=CLOCK)
    claiming = both.claim_all([Id("t", "a1", ONE)])
    with pytest.raises(RungError, match="cold"):
        await store.read("t", {Entity.CARD: "tok_1"}, deadline, amount=1.0)
    assert await claiming.claims() == [NEW]
    after = copy_server.client.info("stats")["total_reads_processed"]
    assert after - before == 2, "the attempt, and this test asking"


async def test_an_answer_that_is_there_already_is_claimed_and_left_in_one(claims):
    assert await enter(claims, ("acme", "a1", ONE, b"first")) == [NEW]
    again = [("acme", "a1", ONE, b"second"), ("acme", "a1", OTHER, b"third")]
    told, refused = await enter(claims, *again)
    assert told == Claim(ClaimState.ANSWERED, b"first")
    assert refused == Claim(ClaimState.OTHER_BODY)
    assert await claims.claim("acme", "a1", ONE) == Claim(ClaimState.ANSWERED, b"first")


async def test_of_one_id_twice_at_once_the_first_answer_stands(claims):
    asked = [("acme", "a1", ONE, b"first"), ("acme", "a1", ONE, b"second")]
    asked += [("acme", "a1", OTHER, b"third"), ("acme", "a2", ONE, b"fourth")]
    assert await enter(claims, *asked) == [
        NEW,
        Claim(ClaimState.ANSWERED, b"first"),
        Claim(ClaimState.OTHER_BODY),
        NEW,
    ]


async def test_an_answer_goes_to_a_claim_that_is_still_without_one(claims):
    assert await claims.claim("acme", "a1", ONE) == NEW
    assert await enter(claims, ("acme", "a1", ONE, b"first")) == [PENDING]
    await asyncio.sleep(0.05)
    assert await claims.claim("acme", "a1", ONE) == Claim(ClaimState.ANSWERED, b"first")


async def test_without_a_store_an_answer_that_is_there_stands(claims, valkey):
    valkey.kill()
    assert await enter(claims, ("acme", "a1", ONE, b"first")) == [Claim(ClaimState.UNKNOWN)]


async def test_a_store_that_is_later_than_one_waits_has_no_say(claims, valkey):
    await claims.claim("t", "first", ONE)  # the connection is there
    valkey.client.execute_command("CLIENT", "PAUSE", 100, "ALL")
    claiming = claims.claim_all([Id("t", "a1", ONE), Id("t", "a2", ONE)])
    assert await claiming.claims(within_ms=5.0) == [Claim(ClaimState.UNKNOWN)] * 2
    assert await claiming.claims() == [NEW, NEW]


async def test_answers_that_are_left_together_are_each_found_again(claims):
    ids = [Id("t", f"a{number}", ONE) for number in range(3)]
    claims.settle_all([Entry(id, id.id.encode()) for id in ids])
    await asyncio.sleep(0.05)
    found = await claim_all(claims, *ids)
    assert found == [Claim(ClaimState.ANSWERED, id.id.encode()) for id in ids]


async def test_with_a_shard_away_the_ids_of_the_others_have_their_claims(valkeys):
    servers = [valkeys(), valkeys()]
    shards = [
        ShardClient(server.shard, password=None, timeout_ms=200, region="here")
        for server in servers
    ]
    claims = Claims(
        ClaimStore(shards, breakers=[breaker(f"claims:here/{at}") for at in range(2)]),
        of="attempt",
        ttl_s=60,
    )
    servers[1].kill()
    ids = [("t", f"a{number}", ONE) for number in range(20)]
    at = [shard_of(f"t:attempt:{id}", 2) for _, id, _ in ids]
    assert set(at) == {0, 1}
    states = [claim.state for claim in await claim_all(claims, *ids)]
    assert states == [ClaimState.UNKNOWN if one else ClaimState.NEW for one in at]
    claims.settle_all([Entry(Id(*id), b"approve") for id in ids])
    await asyncio.sleep(0.05)
    assert claims.unsettled == sum(at)
    for shard in shards:
        await shard.close()
