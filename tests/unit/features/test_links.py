"""Whom identity links reach, by numpy and by SQL alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.features.events import Counted
from app.features.links import HALF_LIFE_DAYS, LINKS_MAX, linked_of_events, linked_sql
from app.features.reference import REFERENCE
from app.features.rings import Ring
from app.features.spec import DAY_MS, Aggregate, Entity
from app.features.sql import COUNTED
from app.history.columns import DAY, arrow_schema
from app.history.query import History

T0 = 1_767_225_600_000  # 2026-01-01
NOON = DAY_MS // 2
OF_CARD, OF_DEVICE = (
    counter for counter in REFERENCE.batch_counters if counter.aggregate is Aggregate.LINKED
)
KINDS = {"attempted": Counted.ATTEMPTED, "fraud": Counted.FRAUD, "not_fraud": Counted.NOT_FRAUD,
         "fraud_withdrawn": Counted.FRAUD_WITHDRAWN}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    what: str
    card: str
    at_ms: int
    device: str | None = None
    email: str | None = None
    ip: str | None = None
    terminal: str | None = None


def day(number: int) -> int:
    """Noon of a day."""
    return T0 + number * DAY_MS + NOON


def midnight(number: int) -> int:
    """The start of a day."""
    return T0 + number * DAY_MS


def by_numpy(counter, events, as_of_ms):
    """The counter of everyone who has one."""
    names = {
        entity: sorted({value for e in events if (value := getattr(e, entity)) is not None})
        for entity in (Entity.CARD, Entity.DEVICE, Entity.EMAIL)
    }
    codes = {
        entity: np.array(
            [known.index(value) if (value := getattr(e, entity)) else -1 for e in events],
            dtype=np.int64,
        )
        for entity, known in names.items()
    }
    of = names[counter.entity]
    values = linked_of_events(
        counter,
        codes=codes,
        at_ms=np.array([e.at_ms for e in events], dtype=np.int64),
        what=np.array([int(KINDS[e.what]) for e in events], dtype=np.int64),
        ask=np.arange(len(of)),
        ask_ms=np.full(len(of), as_of_ms),
    )
    return {name: value for name, value in zip(of, values.tolist(), strict=True) if value}


def by_sql(home, counter, events, as_of_ms):
    write(home, "decisions", [(e, "received_ms") for e in events if e.what == "attempted"])
    write(home, "effects", [(e, "at_ms") for e in events if e.what != "attempted"])
    with History(home) as history:
        query = linked_sql(counter, events=f"({COUNTED})", as_of="{as_of:Int64}")
        answer = history.sql(query, {"as_of": as_of_ms})
    return dict(zip(answer["id"].to_pylist(), answer["value"].to_pylist(), strict=True))


def write(home, table, events):
    schema = arrow_schema(table)
    folder = home / "us-east-1" / "history" / table / f"{DAY}=2026-01-01"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "card": e.card, "device": e.device, "email": e.email, "ip": e.ip, "amount_ref": 1,
            "terminal": e.terminal, time: e.at_ms, "action": "approve", "what": e.what,
        }
        for e, time in events
    ]  # fmt: skip
    named = [{name: row.get(name) for name in schema.names} for row in rows]
    pq.write_table(pa.Table.from_pylist(named, schema=schema), folder / "events.parquet")


@pytest.fixture
def linked(tmp_path):
    """The counter of everyone who has one, once both ways agree on it."""

    def values(counter, events, as_of_ms):
        here = by_numpy(counter, events, as_of_ms)
        assert by_sql(tmp_path, counter, events, as_of_ms) == here
        return here

    return values


def attempts(*cards, device=None, email=None, ip=None, terminal=None, at=1):
    return [
        Event("attempted", card, day(at), device=device, email=email, ip=ip, terminal=terminal)
        for card in cards
    ]


def fraud(card, at, what="fraud"):
    return Event(what, card, day(at))


def test_fraud_of_a_card_reaches_the_others_of_its_device_and_of_its_address(linked):
    events = [
        *attempts("bad", "one", device="d"),
        *attempts("bad", "two", email="e"),
        *attempts("far", device="other"),
        fraud("bad", 4),
    ]
    assert linked(OF_CARD, events, midnight(5)) == {"one": 1.0, "two": 1.0}
    assert linked(OF_DEVICE, events, midnight(5)) == {"d": 1.0}


def test_two_hops_do_not_link(linked):
    events = [
        *attempts("bad", "one", device="d"),
        *attempts("one", "two", email="e"),
        fraud("bad", 4),
    ]
    assert linked(OF_CARD, events, midnight(5)) == {"one": 1.0}


def test_a_card_is_not_linked_with_itself(linked):
    events = [*attempts("bad", "bad", device="d", email="e"), fraud("bad", 4)]
    assert linked(OF_CARD, events, midnight(5)) == {}


def test_a_card_that_shares_two_hubs_counts_once(linked):
    events = [*attempts("bad", "one", device="d", email="e"), fraud("bad", 4)]
    assert linked(OF_CARD, events, midnight(5)) == {"one": 1.0}


def test_a_device_and_an_address_of_the_same_name_are_two_hubs(linked):
    events = [
        *attempts("bad", device="same"),
        *attempts("one", email="same"),
        fraud("bad", 4),
    ]
    assert linked(OF_CARD, events, midnight(5)) == {}


def test_a_network_address_or_a_terminal_never_links(linked):
    events = [*attempts("bad", "one", ip="i", terminal="t"), fraud("bad", 4)]
    assert linked(OF_CARD, events, midnight(5)) == {}


@pytest.mark.parametrize("via", [(Entity.IP,), (Entity.DEVICE, Entity.TERMINAL), ()])
def test_a_counter_that_would_link_strangers_is_refused(via):
    strangers = replace(OF_CARD, via=via)
    with pytest.raises(ValueError, match="only device and email link cards"):
        linked_sql(strangers, events="events", as_of="0")
    with pytest.raises(ValueError, match="only device and email link cards"):
        by_numpy(strangers, [fraud("bad", 1)], midnight(5))


def test_a_device_of_as_many_cards_as_allowed_links_and_of_one_more_does_not(linked):
    cards = ["bad", *(f"c{at}" for at in range(LINKS_MAX - 1))]
    events = [*attempts(*cards, *cards, device="d"), fraud("bad", 4)]
    assert linked(OF_CARD, events, midnight(5)) == dict.fromkeys(cards[1:], 1.0)
    assert linked(OF_DEVICE, events, midnight(5)) == {"d": 1.0}
    kiosk = [*events, *attempts("one more", device="d")]
    assert linked(OF_CARD, kiosk, midnight(5)) == {}
    assert linked(OF_DEVICE, kiosk, midnight(5)) == {}


def test_cards_of_an_earlier_month_do_not_make_a_device_a_kiosk(linked):
    before = attempts(*(f"c{at}" for at in range(LINKS_MAX + 5)), device="d", at=0)
    events = [*before, *attempts("bad", "one", device="d", at=32), fraud("bad", 33)]
    assert linked(OF_CARD, events, midnight(34)) == {"one": 1.0}


def test_what_arrives_at_the_midnight_or_after_it_does_not_count(linked):
    pair = attempts("bad", "one", device="d")
    at_midnight = Event("fraud", "bad", midnight(5))
    assert linked(OF_CARD, [*pair, at_midnight], midnight(5)) == {}
    just_before = replace(at_midnight, at_ms=midnight(5) - 1)
    assert linked(OF_CARD, [*pair, just_before], midnight(5)) == {"one": 1.0}
    late = attempts("bad", "one", device="d", at=5)
    assert linked(OF_CARD, [*late, just_before], midnight(5)) == {}


def test_labels_and_links_are_forgotten_after_the_window(linked):
    events = [*attempts("bad", "one", device="d", at=20), fraud("bad", 0)]
    assert linked(OF_CARD, events, midnight(30)) == {"one": pytest.approx(0.5 ** (29 / 14), 1e-5)}
    assert linked(OF_CARD, events, midnight(31)) == {}
    events = [*attempts("bad", "one", device="d", at=0), fraud("bad", 20)]
    assert set(linked(OF_CARD, events, midnight(30))) == {"one"}
    assert linked(OF_CARD, events, midnight(31)) == {}


def test_a_label_counts_half_after_the_half_life(linked):
    events = [*attempts("bad", "one", device="d", at=9), fraud("bad", 10)]
    fresh = linked(OF_CARD, events, midnight(11))["one"]
    assert fresh == 1.0
    assert linked(OF_CARD, events, midnight(11 + HALF_LIFE_DAYS))["one"] == fresh / 2


def test_a_withdrawn_label_does_not_count(linked):
    events = [
        *attempts("bad", "one", device="d"),
        *attempts("worse", "two", device="e"),
        fraud("bad", 3),
        fraud("bad", 3, "fraud_withdrawn"),
        fraud("worse", 2),
        fraud("worse", 3),
        fraud("worse", 3, "fraud_withdrawn"),
    ]
    assert set(linked(OF_CARD, events, midnight(4))) == {"two"}


def test_a_withdrawal_without_its_label_takes_nothing_from_other_cards(linked):
    events = [
        *attempts("bad", "cleared", "one", device="d"),
        fraud("bad", 3),
        fraud("cleared", 3, "fraud_withdrawn"),
    ]
    assert linked(OF_CARD, events, midnight(4)) == {"one": 1.0, "cleared": 1.0}
    assert linked(OF_DEVICE, events, midnight(4)) == {"d": 1.0}


def test_a_label_that_says_it_was_no_fraud_does_not_count(linked):
    events = [*attempts("good", "one", device="d"), fraud("good", 3, "not_fraud")]
    assert linked(OF_CARD, events, midnight(4)) == {}


def test_labels_of_several_cards_add_up(linked):
    events = [
        *attempts("bad", "worse", "one", device="d"),
        fraud("bad", 3),
        fraud("worse", 3),
        fraud("worse", 3),
    ]
    assert linked(OF_CARD, events, midnight(4)) == {"one": 3.0, "bad": 2.0, "worse": 1.0}
    assert linked(OF_DEVICE, events, midnight(4)) == {"d": 3.0}


@pytest.mark.parametrize("counter", [OF_CARD, OF_DEVICE], ids=lambda counter: counter.name)
def test_numpy_and_sql_agree_on_events_at_random(counter, linked):
    rng = np.random.default_rng(11)
    kinds = list(KINDS)
    events = [
        Event(
            kinds[rng.choice(4, p=[0.7, 0.2, 0.05, 0.05])],
            f"c{rng.integers(150)}",
            T0 + int(rng.integers(0, 45 * DAY_MS)),
            device=f"d{rng.integers(25)}" if rng.random() < 0.8 else None,
            email=f"e{rng.integers(60)}" if rng.random() < 0.6 else None,
        )
        for _ in range(1_500)
    ]
    assert len(linked(counter, events, midnight(40))) > 5


def test_each_ask_is_answered_as_of_its_own_midnight():
    pair = [*attempts("bad", "one", device="d"), fraud("bad", 2), fraud("bad", 5)]
    codes = {
        Entity.CARD: np.array([0, 1, 0, 0]),
        Entity.DEVICE: np.array([0, 0, -1, -1]),
        Entity.EMAIL: np.full(4, -1),
    }
    asks = [(1, 2), (1, 3), (0, 3), (1, 6), (1, 3)]
    values = linked_of_events(
        OF_CARD,
        codes=codes,
        at_ms=np.array([e.at_ms for e in pair]),
        what=np.array([int(KINDS[e.what]) for e in pair]),
        ask=np.array([card for card, _ in asks]),
        ask_ms=np.array([midnight(number) for _, number in asks]),
    )
    after_three = float(np.rint(2**20 * 0.5 ** (3 / 14)) / 2**20)
    assert values.tolist() == [0.0, 1.0, 0.0, 1.0 + after_three, 1.0]


def test_without_any_events_nobody_is_linked():
    assert by_numpy(OF_CARD, [], midnight(1)) == {}
    alone = replace(OF_CARD, ring=Ring(window_ms=7 * DAY_MS, buckets=7))
    assert by_numpy(alone, attempts("one", device="d"), midnight(1)) == {}
