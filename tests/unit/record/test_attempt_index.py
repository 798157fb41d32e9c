"""The joiner's index: what is remembered, by which names, and what is forgotten first."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from msgspec import Raw

from app.errors import OperatorError
from app.ids import DecisionIds
from app.record.attempt import Attempt, attempt_of, decision_id_of, decision_key
from app.record.attempt_index import AttemptIndex

DAY_MS = 86_400_000
T0_MS = 1_800_000_000_000
IDS = DecisionIds(region=1, writer=0)


@pytest.fixture
def index(tmp_path):
    index = AttemptIndex(tmp_path)
    yield index
    index.close()


def attempt(attempt_id="a1", *, tenant="acme", at_ms=T0_MS):
    return Attempt(
        decision=decision_key(IDS.new(at_ms)),
        tenant=tenant,
        attempt_id=attempt_id,
        received_ms=at_ms,
        amount_ref=4_200,
        entities=Raw(msgspec.msgpack.encode({"card": "c1"})),
        bits=Raw(msgspec.msgpack.encode({"card": 1 << 63})),
    )


def add(index, *attempts):
    with index.change() as change:
        for one in attempts:
            change.add(one)


def find(index, attempt_id=None, decision=None, *, tenant="acme"):
    with index.change() as change:
        return change.find(tenant, attempt_id, decision)


def prune(index, **bounds):
    standard = {"before_ms": 0, "attempts_max": 1_000, "limit": 1_000}
    with index.change() as change:
        return change.prune(**(standard | bounds))


def test_a_decision_id_and_its_key_are_the_same():
    id = IDS.new()
    assert decision_id_of(decision_key(id)) == id


@pytest.mark.parametrize("id", ["dec_12", "dec_" + "z" * 32, "nothing"])
def test_what_is_no_decision_id_has_no_key(id):
    with pytest.raises(ValueError, match=r"decision id|hexadecimal"):
        decision_key(id)


def test_an_attempt_is_read_from_a_decision_with_fields_of_a_later_release():
    id = IDS.new(T0_MS)
    payload = msgspec.msgpack.encode(
        {
            "v": 9,
            "tenant": "acme",
            "decision_id": id,
            "attempt_id": "a1",
            "received_ms": T0_MS,
            "amount_ref": 4_200,
            "entities": {"card": "c1"},
            "bits": {"card": 1 << 63},
            "large": True,
            "brand_new": [1, 2],
        }
    )
    read = attempt_of(payload)
    assert read.decision_id == id
    assert msgspec.msgpack.decode(read.entities) == {"card": "c1"}
    assert msgspec.msgpack.decode(read.bits) == {"card": 1 << 63}
    assert read.large


def test_an_attempt_is_found_by_its_id_and_by_its_decision(index):
    one = attempt()
    add(index, one)
    assert find(index, "a1").decision == one.decision
    assert find(index, decision=one.decision).attempt_id == "a1"


def test_another_tenant_finds_nothing(index):
    one = attempt()
    add(index, one)
    assert find(index, "a1", tenant="other") is None
    assert find(index, decision=one.decision, tenant="other") is None


def test_two_tenants_may_use_the_same_attempt_id(index):
    add(index, attempt(tenant="acme"), attempt(tenant="other"))
    assert find(index, "a1", tenant="acme").tenant == "acme"
    assert find(index, "a1", tenant="other").tenant == "other"


def test_an_attempt_that_was_decided_twice_is_one_attempt(index):
    first, again = attempt(), attempt(at_ms=T0_MS + 1)
    add(index, first, again)
    assert find(index, "a1").decision == first.decision
    assert find(index, decision=again.decision).decision == first.decision
    assert index.attempts == 1


def test_a_decision_that_comes_again_changes_nothing_that_was_counted(index):
    one = attempt()
    add(index, one)
    with index.change() as change:
        change.put(msgspec.structs.replace(one, label="fraud", label_at_ms=7))
    add(index, one)
    assert find(index, "a1").label == "fraud"


def test_a_change_that_raises_is_undone(index):
    with suppress(KeyError), index.change() as change:
        change.add(attempt())
        change.keep(b"progress")
        raise KeyError
    assert find(index, "a1") is None
    assert index.progress() is None


def test_everything_is_there_after_opening_it_again(tmp_path):
    index = AttemptIndex(tmp_path)
    with index.change() as change:
        change.add(attempt())
        change.keep(b"progress")
        change.wait(b"id", b"value")
    index.close()
    index = AttemptIndex(tmp_path)
    assert find(index, "a1") is not None
    assert (index.progress(), index.waiting()) == (b"progress", [b"value"])
    index.close()


def test_old_attempts_are_forgotten_under_all_their_names(index):
    old, again, young = (
        attempt("a1"),
        attempt("a1", at_ms=T0_MS + 1),
        attempt("a2", at_ms=T0_MS + 9),
    )
    add(index, old, again, young)
    assert prune(index, before_ms=T0_MS + 9) == 1
    assert find(index, "a1") is None
    assert find(index, decision=old.decision) is None
    assert find(index, decision=again.decision) is None
    assert find(index, "a2") is not None
    with index.change() as change:
        assert change._txn.stat(change._names)["entries"] == 1
        assert change._txn.stat(change._again)["entries"] == 0


def test_of_too_many_attempts_the_oldest_are_forgotten(index):
    add(index, *(attempt(f"a{at}", at_ms=T0_MS + at) for at in (3, 0, 2, 1, 4)))
    assert prune(index, attempts_max=3) == 2
    assert [at for at in range(5) if find(index, f"a{at}")] == [2, 3, 4]


def test_no_more_are_forgotten_at_once_than_asked_for(index):
    add(index, *(attempt(f"a{at}", at_ms=T0_MS + at) for at in range(5)))
    assert prune(index, before_ms=T0_MS + DAY_MS, limit=2) == 2
    assert index.attempts == 3


def test_an_attempt_id_that_was_forgotten_is_a_new_attempt(index):
    add(index, attempt("a1"))
    prune(index, before_ms=T0_MS + 1)
    fresh = attempt("a1", at_ms=T0_MS + 2)
    add(index, fresh)
    assert find(index, "a1").decision == fresh.decision


def test_a_second_joiner_is_turned_away(index, tmp_path):
    with pytest.raises(OperatorError, match="Another joiner"):
        AttemptIndex(tmp_path)


def test_an_index_that_is_none_is_said_in_one_sentence(tmp_path):
    (tmp_path / "attempts.mdb").write_bytes(b"x" * 8_192)
    with pytest.raises(OperatorError, match="cannot be opened"):
        AttemptIndex(tmp_path)
