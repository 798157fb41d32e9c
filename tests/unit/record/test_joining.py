"""What an outcome or a label counts as, whatever is sent, twice or in whatever order."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import get_args

import msgspec
import pytest
from msgspec import Raw

from app.api.wire import Label, Outcome
from app.features.events import Counted
from app.ids import DecisionIds, EventId
from app.record.attempt import Attempt, decision_key
from app.record.follow_up import FollowUp
from app.record.frames import Kind
from app.record.joining import LABELS, OUTCOMES, SEEN_MAX, join, said_of

ATTEMPTED_MS = 1_000
DECISION = DecisionIds(region=1, writer=0).new(ATTEMPTED_MS)


@pytest.fixture
def attempt():
    return Attempt(
        decision=decision_key(DECISION),
        tenant="acme",
        attempt_id="a1",
        received_ms=ATTEMPTED_MS,
        amount_ref=4_200,
        entities=Raw(msgspec.msgpack.encode({"card": "c1"})),
        bits=Raw(msgspec.msgpack.encode({"card": 2})),
    )


def said(what, at_ms, *, id=None, seq=None, writer=0):
    kind, name = (Kind.LABEL, "label") if what in LABELS else (Kind.OUTCOME, "kind")
    follow_up = FollowUp(
        tenant="acme",
        id=id or f"{what}-{at_ms}-{writer}",
        home=1,
        received_ms=at_ms,
        attempt_id="a1",
        decision_id=DECISION,
        body=json.dumps({name: what, "later_field": 1}).encode(),
    )
    return said_of(EventId(1, writer, 1, seq or at_ms), kind, follow_up, since_ms=at_ms)


def joined(attempt, *all_said):
    """(what, at) of everything that is counted, and the attempt at last."""
    effects = []
    for one in all_said:
        attempt, made = join(attempt, one)
        effects += made
    return [(effect.what, effect.at_ms) for effect in effects], attempt


def net(effects):
    """What is counted less what is withdrawn, by class and time."""
    total = Counter()
    for what, at_ms in effects:
        label = what.removesuffix("_withdrawn")
        total[label, at_ms] += 1 if what == label else -1
    return {key: number for key, number in total.items() if number}


def literals(struct, name):
    (field,) = (f for f in msgspec.structs.fields(struct) if f.name == name)
    return set(get_args(field.type))


def test_what_can_be_sent_is_what_can_be_joined_and_counted():
    assert literals(Outcome, "kind") == OUTCOMES
    assert literals(Label, "label") == LABELS
    withdrawn = {f"{label}_withdrawn" for label in LABELS - {"withdrawn"}}
    Counted.of_names([*OUTCOMES, *(LABELS - {"withdrawn"}), *withdrawn])


def test_an_effect_has_everything_of_its_attempt(attempt):
    _, (effect,) = join(attempt, said("authorised", 2_000, seq=7))
    assert msgspec.structs.asdict(effect) == {
        "v": 1,
        "tenant": "acme",
        "of": "1/0/1/7",
        "what": "authorised",
        "at_ms": 2_000,
        "received_ms": 2_000,
        "decision_id": DECISION,
        "attempt_id": "a1",
        "attempted_ms": ATTEMPTED_MS,
        "amount_ref": 4_200,
        "entities": {"card": "c1"},
        "bits": {"card": 2},
    }


@pytest.mark.parametrize("kind", sorted(OUTCOMES - {"superseded"}))
def test_an_outcome_counts_as_what_it_is_when_it_was_received(attempt, kind):
    assert joined(attempt, said(kind, 2_000))[0] == [(kind, 2_000)]


def test_two_captures_are_two(attempt):
    effects, _ = joined(attempt, said("captured", 2_000), said("captured", 3_000))
    assert effects == [("captured", 2_000), ("captured", 3_000)]


def test_an_outcome_that_was_taken_twice_counts_once(attempt):
    effects, _ = joined(attempt, said("captured", 2_000, id="o1"), said("captured", 3_000, id="o1"))
    assert effects == [("captured", 2_000)]


def test_an_outcome_and_a_label_may_have_the_same_id(attempt):
    effects, _ = joined(attempt, said("captured", 2_000, id="x"), said("fraud", 3_000, id="x"))
    assert effects == [("captured", 2_000), ("fraud", 3_000)]


def test_superseded_withdraws_the_attempt_at_its_own_time_once(attempt):
    effects, _ = joined(attempt, said("superseded", 2_000), said("superseded", 3_000))
    assert effects == [("superseded", ATTEMPTED_MS)]


def test_superseded_withdraws_the_largeness_of_an_attempt_that_was_large(attempt):
    effects, _ = joined(msgspec.structs.replace(attempt, large=True), said("superseded", 2_000))
    assert effects == [("superseded", ATTEMPTED_MS), ("large_superseded", ATTEMPTED_MS)]


def test_fraud_counts_once_however_many_say_so(attempt):
    effects, _ = joined(attempt, said("fraud", 2_000), said("fraud", 3_000), said("fraud", 4_000))
    assert effects == [("fraud", 2_000)]


def test_a_withdrawal_counts_at_the_time_that_the_fraud_did(attempt):
    effects, _ = joined(
        attempt, said("fraud", 2_000), said("fraud", 2_500), said("withdrawn", 9_000)
    )
    assert effects == [("fraud", 2_000), ("fraud_withdrawn", 2_000)]


def test_not_fraud_after_fraud_withdraws_it_first(attempt):
    effects, _ = joined(attempt, said("fraud", 2_000), said("not_fraud", 3_000))
    assert effects == [("fraud", 2_000), ("fraud_withdrawn", 2_000), ("not_fraud", 3_000)]


def test_fraud_after_not_fraud_withdraws_that_first(attempt):
    effects, _ = joined(attempt, said("not_fraud", 2_000), said("fraud", 3_000))
    assert effects == [("not_fraud", 2_000), ("not_fraud_withdrawn", 2_000), ("fraud", 3_000)]


def test_fraud_may_come_back_after_its_withdrawal(attempt):
    effects, _ = joined(
        attempt, said("fraud", 2_000), said("withdrawn", 3_000), said("fraud", 4_000)
    )
    assert effects == [("fraud", 2_000), ("fraud_withdrawn", 2_000), ("fraud", 4_000)]


def test_there_may_be_nothing_to_withdraw(attempt):
    assert joined(attempt, said("withdrawn", 2_000))[0] == []


def test_a_fraud_that_was_received_before_its_withdrawal_is_read_after_it(attempt):
    assert joined(attempt, said("withdrawn", 3_000), said("fraud", 2_000))[0] == []


def test_a_label_that_is_sent_again_after_its_withdrawal_stays_withdrawn(attempt):
    effects, _ = joined(
        attempt,
        said("fraud", 2_000, id="l1"),
        said("withdrawn", 3_000, id="l2"),
        said("fraud", 9_000, id="l1"),
    )
    assert net(effects) == {}


@pytest.mark.parametrize("labels", list(itertools.product(sorted(LABELS), repeat=3)))
def test_labels_end_alike_in_whatever_order_they_are_read(attempt, labels):
    received = [said(what, 2_000, seq=at + 1, writer=at) for at, what in enumerate(labels)]
    ends = set()
    for order in itertools.permutations(received):
        effects, after = joined(attempt, *order)
        ends.add((after.label, frozenset(net(effects).items())))
    last = "" if labels[-1] == "withdrawn" else labels[-1]
    assert ends == {(last, frozenset({((last, 2_000), 1)} if last else ()))}


def test_only_so_many_ids_are_remembered_of_an_attempt(attempt):
    many = [said("captured", 2_000 + at) for at in range(SEEN_MAX + 5)]
    effects, after = joined(attempt, *many, many[-1])
    assert len(effects) == SEEN_MAX + 5
    assert len(after.seen) == SEEN_MAX * 8


@pytest.mark.parametrize("what", ["approved", ""])
def test_what_is_not_known_is_no_outcome(what):
    with pytest.raises(ValueError, match="not known"):
        said(what, 1)


def test_a_body_that_is_none_is_refused():
    follow_up = FollowUp(tenant="acme", id="o1", home=1, received_ms=1, attempt_id="a", body=b"[]")
    with pytest.raises(msgspec.MsgspecError):
        said_of(EventId(1, 0, 1, 1), Kind.OUTCOME, follow_up, since_ms=1)
