"""Packed counter values. The golden bytes hold the final format still: never edit them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from app.features.blocks import Events
from app.features.events import Counted
from app.features.packed import Layout, Reader, Unreadable, distinct_bit, key, layouts_of
from app.features.reference import REFERENCE
from app.features.rings import Ring
from app.features.spec import DAY_MS, HOUR_MS, Aggregate, Counter, Entity

NOW_MS = 1_700_000_000_000
U32_MAX = 2**32 - 1
SCHEMA = 9

HOUR = Ring(window_ms=HOUR_MS)
DAY = Ring(window_ms=DAY_MS)
ATTEMPTED_1H = Counter(name="attempted_1h", entity=Entity.CARD, ring=HOUR, minus=Counted.SUPERSEDED)
ATTEMPTED_24H = Counter(name="attempted_24h", entity=Entity.CARD, ring=DAY)
AMOUNT_24H = Counter(name="amount_24h", entity=Entity.CARD, ring=DAY, aggregate=Aggregate.SUM)
SQUARES_24H = Counter(name="squares_24h", entity=Entity.CARD, ring=DAY, aggregate=Aggregate.SQUARES)
DEVICES_24H = Counter(
    name="devices_24h",
    entity=Entity.CARD,
    ring=DAY,
    aggregate=Aggregate.DISTINCT,
    of=Entity.DEVICE,
)
LAST = Counter(name="last", entity=Entity.CARD, ring=DAY, aggregate=Aggregate.LAST)
DECLINED_1H = Counter(
    name="declined_1h", entity=Entity.CARD, ring=HOUR, counts=Counted.ISSUER_DECLINED
)
ALL = (
    ATTEMPTED_1H, ATTEMPTED_24H, AMOUNT_24H, SQUARES_24H, DEVICES_24H, LAST, DECLINED_1H,
)  # fmt: skip


def event(at_ms=NOW_MS, what=Counted.ATTEMPTED, amount=0, device=0):
    return at_ms, int(what), amount, device


def applied(layout, *events, records=None, rows=None):
    """Records after events, and how many were dropped."""
    records = layout.blank(1) if records is None else records
    at_ms, what, amount, device = (
        np.array(column, dtype=kind)
        for column, kind in zip(
            zip(*events, strict=True), (np.int64, np.int64, np.int64, np.uint64), strict=True
        )
    )
    dropped = layout.apply(
        records,
        np.zeros(len(events), dtype=np.int64) if rows is None else np.array(rows),
        Events(at_ms=at_ms, what=what, amount=amount, bits={Entity.DEVICE: device}),
    )
    return records, dropped


def windows(layout, records, now_ms=NOW_MS):
    return layout.windows(records, np.full(len(records), now_ms))


def layout_of(*counters):
    return Layout(counters, schema=SCHEMA)


# The bytes.


@pytest.mark.parametrize(
    ("counters", "size"),
    [
        ((ATTEMPTED_24H,), 16 + 5 * 4),
        ((ATTEMPTED_1H,), 16 + 2 * 5 * 4),  # and what was withdrawn
        ((SQUARES_24H,), 16 + 5 * 8),
        ((DEVICES_24H,), 16 + 5 * 8),
        ((LAST,), 16 + 8),
        (ALL, 16 + 5 * 5 * 4 + 2 * 5 * 8 + 8),
    ],
)
def test_a_value_has_the_size_of_its_header_and_rings(counters, size):
    layout = layout_of(*counters)
    assert layout.size == size
    assert [len(value) for value in layout.encode(layout.blank(2))] == [size, size]
    assert sum(bytes_ for _, _, bytes_ in layout.offsets()) == size - 16


def test_the_header_is_pinned():
    layout = layout_of(ATTEMPTED_24H)
    records, _ = applied(layout, event())
    assert layout.encode(records)[0][:16].hex() == (
        "5344"  # SD
        "0900"
        "00000000"
        "0068e5cf8b010000"
    )


def test_a_value_with_every_kind_of_ring_is_pinned():
    layout = layout_of(*ALL)
    records, _ = applied(
        layout,
        event(amount=2_500, device=1 << 63),
        event(NOW_MS - HOUR_MS // 2, Counted.ATTEMPTED | Counted.ISSUER_DECLINED, 900),
        event(NOW_MS - HOUR_MS // 2, Counted.SUPERSEDED),
    )
    assert layout.encode(records)[0].hex() == (
        "53440900000000000068e5cf8b010000"
        "0000000001000000000000000100000000000000"  # attempted, 1 h
        "0000000001000000000000000000000000000000"  # withdrawn
        "0000000000000000000000000200000000000000"  # attempted, 24 h
        "000000000000000000000000480d000000000000"  # amount
        "0000000001000000000000000000000000000000"  # declined
        "000000000000000000000000000000000000000000000000"
        "20ba6b00000000000000000000000000"  # squares
        "000000000000000000000000000000000000000000000000"
        "00000000000000800000000000000000"  # devices
        "0068e5cf8b010000"  # last
    )


def test_the_layouts_of_the_reference_set_are_pinned_to_its_schema():
    """Whoever changes a counter of a set gives the set another schema, and edits this then."""
    assert REFERENCE.schema == 3
    described = [
        (entity.value, reader.layout.size, reader.layout.offsets())
        for entity, reader in layouts_of(REFERENCE).items()
    ]
    assert [(name, size) for name, size, _ in described] == [
        ("card", 444),
        ("merchant", 316),
        ("device", 96),
        ("ip", 56),
        ("email", 56),
        ("bin", 36),
    ]
    assert hashlib.sha256(repr(described).encode()).hexdigest()[:16] == "1dbe3d663979b1e8"


# Reading and writing.


def test_values_read_back():
    layout = layout_of(*ALL)
    records, _ = applied(layout, event(amount=2_500, device=4))
    assert layout.encode(layout.decode(layout.encode(records))) == layout.encode(records)


def test_windows_are_read_for_many_rows_at_once():
    layout = layout_of(ATTEMPTED_1H, ATTEMPTED_24H, AMOUNT_24H)
    one, _ = applied(layout, event(amount=2_500))
    two, _ = applied(layout, event(amount=100), event(NOW_MS - 2 * HOUR_MS, amount=50))
    read = windows(layout, layout.decode(layout.encode(one) + layout.encode(two)))
    assert read.totals.tolist() == [[1, 1, 2_500], [1, 2, 150]]
    assert read.bitmaps.shape == (2, 0)
    assert read.last_ms.shape == (2, 0)
    assert read.base_ms.tolist() == [NOW_MS, NOW_MS]


def test_each_row_may_be_read_as_of_its_own_instant():
    layout = layout_of(ATTEMPTED_1H)
    one, _ = applied(layout, event())
    both = layout.decode(2 * layout.encode(one))
    read = layout.windows(both, np.array([NOW_MS, NOW_MS + 2 * HOUR_MS]))
    assert read.totals.tolist() == [[1], [0]]


def test_distinct_bits_gather():
    layout = layout_of(DEVICES_24H)
    bits = [distinct_bit(id) for id in ("a", "b", "a")]
    records, _ = applied(layout, *(event(device=bit) for bit in bits))
    assert windows(layout, records).bitmaps.tolist() == [[bits[0] | bits[1]]]


def test_the_newest_event_is_remembered_whatever_the_order():
    layout = layout_of(LAST)
    records, _ = applied(layout, event(NOW_MS - 5), event(), event(NOW_MS - 9))
    assert windows(layout, records).last_ms.tolist() == [[NOW_MS]]


def test_a_newest_event_older_than_its_window_is_forgotten():
    layout = layout_of(LAST)
    records, _ = applied(layout, event())
    assert windows(layout, records, NOW_MS + DAY_MS).last_ms.tolist() == [[NOW_MS]]
    assert windows(layout, records, NOW_MS + DAY_MS + 1).last_ms.tolist() == [[0]]


def test_only_what_a_counter_counts_goes_into_it():
    layout = layout_of(ATTEMPTED_24H, DECLINED_1H)
    records, _ = applied(
        layout, event(), event(what=Counted.ISSUER_DECLINED), event(what=Counted.CAPTURED)
    )
    assert windows(layout, records).totals.tolist() == [[1, 1]]


def test_an_event_that_is_several_things_counts_once():
    either = Counter(
        name="either",
        entity=Entity.CARD,
        ring=DAY,
        counts=Counted.ATTEMPTED | Counted.ISSUER_DECLINED,
    )
    layout = layout_of(either)
    records, _ = applied(layout, event(what=Counted.ATTEMPTED | Counted.ISSUER_DECLINED))
    assert windows(layout, records).totals.tolist() == [[1]]


def test_a_withdrawal_is_a_second_ring_and_never_a_subtraction():
    layout = layout_of(ATTEMPTED_1H)
    records, _ = applied(layout, event(), event(), event(what=Counted.SUPERSEDED))
    assert windows(layout, records).totals.tolist() == [[1]]
    assert layout.cells(records, "attempted_1h").sum() == 2
    assert layout.cells(records, "attempted_1h", -1).sum() == 1


def test_a_ring_that_is_not_there_has_no_cells():
    layout = layout_of(ATTEMPTED_24H)
    with pytest.raises(KeyError):
        layout.cells(layout.blank(1), "attempted_24h", -1)


# Limits.


def test_sums_saturate_and_say_so():
    layout = layout_of(ATTEMPTED_24H, AMOUNT_24H)
    records, _ = applied(layout, event(amount=U32_MAX - 1))
    assert records["flags"].tolist() == [0]
    records, _ = applied(layout, event(amount=5), records=records)
    assert windows(layout, records).totals.tolist() == [[2, U32_MAX]]
    assert records["flags"].tolist() == [1]


def test_an_amount_beyond_any_counter_saturates_it_alone():
    layout = layout_of(ATTEMPTED_24H, AMOUNT_24H)
    records, _ = applied(layout, event(amount=2**53))
    assert windows(layout, records).totals.tolist() == [[1, U32_MAX]]


def test_an_amount_beyond_the_bound_counts_as_the_bound_among_squares():
    layout = layout_of(SQUARES_24H)
    records, _ = applied(layout, event(amount=2**53), event(amount=10_000_000))
    assert windows(layout, records).totals.tolist() == [[2 * 10_000_000**2]]


def test_one_saturated_row_does_not_mark_its_neighbours():
    layout = layout_of(AMOUNT_24H)
    records, _ = applied(
        layout, event(amount=2**32), event(amount=1), records=layout.blank(2), rows=[0, 1]
    )
    assert records["flags"].tolist() == [1, 0]


def test_a_late_event_goes_to_the_bucket_of_its_own_time():
    layout = layout_of(ATTEMPTED_1H)
    records, _ = applied(layout, event())
    records, dropped = applied(layout, event(NOW_MS - HOUR_MS // 2), records=records)
    assert dropped == 0
    assert records["base"].tolist() == [NOW_MS]
    assert windows(layout, records).totals.tolist() == [[2]]


def test_an_event_older_than_every_ring_is_dropped_and_counted():
    layout = layout_of(ATTEMPTED_1H, ATTEMPTED_24H, AMOUNT_24H)
    records, _ = applied(layout, event(amount=100))
    before = layout.encode(records)
    records, dropped = applied(layout, event(NOW_MS - 2 * DAY_MS, amount=100), records=records)
    assert dropped == 1
    assert layout.encode(records) == before


def test_an_event_too_old_for_one_ring_still_counts_in_a_longer_one():
    layout = layout_of(ATTEMPTED_1H, ATTEMPTED_24H)
    records, _ = applied(layout, event())
    records, dropped = applied(layout, event(NOW_MS - 3 * HOUR_MS), records=records)
    assert dropped == 0
    assert windows(layout, records).totals.tolist() == [[1, 2]]


def test_slots_that_time_has_passed_are_cleared_when_written():
    layout = layout_of(ATTEMPTED_1H)
    records, _ = applied(layout, *[event()] * 7)
    records, _ = applied(layout, event(NOW_MS + 10 * HOUR_MS), records=records)
    assert layout.cells(records, "attempted_1h").sum() == 1


def test_an_event_ahead_of_its_time_leaves_what_its_windows_still_hold():
    layout = layout_of(ATTEMPTED_1H, ATTEMPTED_24H)
    records, _ = applied(layout, event(), event(NOW_MS + 10 * HOUR_MS))
    assert windows(layout, records).totals.tolist() == [[0, 1]]
    later = windows(layout, records, NOW_MS + 10 * HOUR_MS)
    assert later.totals.tolist() == [[1, 2]]


# What cannot be read.


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-1],
        lambda value: value + b"\0",
        lambda value: b"",
        lambda value: b"XD" + value[2:],
        lambda value: value[:2] + (SCHEMA + 1).to_bytes(2, "little") + value[4:],
    ],
    ids=["short", "long", "empty", "magic", "schema"],
)
def test_a_value_that_is_not_of_this_layout_is_unreadable(damage):
    layout = layout_of(ATTEMPTED_1H)
    good = layout.encode(layout.blank(1))[0]
    with pytest.raises(Unreadable):
        layout.decode([good, damage(good)])


def test_two_wrong_lengths_do_not_make_up_for_each_other():
    layout = layout_of(ATTEMPTED_1H)
    good = layout.encode(layout.blank(1))[0]
    with pytest.raises(Unreadable):
        layout.decode([good + good, b""])


# The schema before.


@pytest.fixture
def two_schemas():
    before = Layout((ATTEMPTED_24H, ATTEMPTED_1H, SQUARES_24H, LAST), schema=SCHEMA - 1)
    return Reader(Layout(ALL, schema=SCHEMA), before), before


def test_values_of_the_schema_before_are_read_with_what_both_keep(two_schemas):
    reader, before = two_schemas
    old, _ = applied(before, event(amount=30), event(what=Counted.SUPERSEDED, amount=30))
    new, _ = applied(reader.layout, event(amount=7, device=1))
    records = reader.decode([*before.encode(old), *reader.layout.encode(new)])
    read = windows(reader.layout, records)
    assert read.totals.tolist() == [[0, 1, 0, 900, 0], [1, 1, 7, 49, 0]]
    assert read.bitmaps.tolist() == [[0], [1]]
    assert read.last_ms.tolist() == [[NOW_MS], [NOW_MS]]
    assert read.base_ms.tolist() == [NOW_MS, NOW_MS]


def test_a_value_of_the_schema_before_is_written_back_in_the_current_one(two_schemas):
    reader, before = two_schemas
    old, _ = applied(before, event(amount=30))
    records, _ = applied(reader.layout, event(amount=5), records=reader.decode(before.encode(old)))
    (value,) = reader.layout.encode(records)
    read = windows(reader.layout, reader.layout.decode([value]))
    assert read.totals.tolist() == [[2, 2, 5, 925, 0]]


def test_a_counter_that_can_be_withdrawn_from_now_keeps_what_it_had():
    counter = Counter(name="attempted_24h", entity=Entity.CARD, ring=DAY)
    before = Layout((counter,), schema=SCHEMA - 1)
    reader = Reader(Layout((replace(counter, minus=Counted.SUPERSEDED),), schema=SCHEMA), before)
    old, _ = applied(before, event(), event())
    records, _ = applied(
        reader.layout, event(what=Counted.SUPERSEDED), records=reader.decode(before.encode(old))
    )
    assert windows(reader.layout, records).totals.tolist() == [[1]]


def test_a_counter_whose_ring_changed_starts_empty():
    longer = Counter(name="attempted_24h", entity=Entity.CARD, ring=Ring(window_ms=2 * DAY_MS))
    before = Layout((ATTEMPTED_24H,), schema=SCHEMA - 1)
    reader = Reader(Layout((longer,), schema=SCHEMA), before)
    old, _ = applied(before, event())
    assert windows(reader.layout, reader.decode(before.encode(old))).totals.tolist() == [[0]]


def test_values_of_other_schemas_are_refused(two_schemas):
    reader, before = two_schemas
    older = Layout((ATTEMPTED_24H,), schema=SCHEMA - 2)
    with pytest.raises(Unreadable):
        reader.decode([*before.encode(before.blank(1)), *older.encode(older.blank(1))])


def test_a_reader_of_the_first_schema_knows_no_other():
    reader = Reader(Layout((ATTEMPTED_24H,), schema=SCHEMA), None)
    older = Layout((ATTEMPTED_24H,), schema=SCHEMA - 1)
    with pytest.raises(Unreadable):
        reader.decode(older.encode(older.blank(1)))


# Keys and bits.


def test_a_key_names_tenant_entity_and_id():
    assert key("acme", Entity.CARD, "tok_1") == "acme:card:tok_1"


def test_the_bit_of_an_id_is_its_xxhash64_modulo_64():
    assert distinct_bit("a") == 1 << (0xD24EC4F1A98C6E5B % 64)
