"""Packed counter values. The golden bytes hold the final format still: never edit them."""

from __future__ import annotations

import numpy as np
import pytest

from app.features.packed import (
    COUNTER_SCHEMA,
    Unreadable,
    distinct_bit,
    key,
    layout_of,
)
from app.features.spec import DAY_MS, HOUR_MS, Entity

NOW_MS = 1_700_000_000_000
U32_MAX = 2**32 - 1


def applied(layout, event_ms, *amounts, records=None):
    """One record after events; `amounts` holds a row per event, additive counters first."""
    records = layout.blank(1) if records is None else records
    dropped = layout.apply(
        records,
        np.zeros(len(event_ms), dtype=np.int64),
        np.array(event_ms),
        [np.array(column, dtype=np.uint64) for column in zip(*amounts, strict=True)],
    )
    return records, dropped


def windows(layout, records, now_ms=NOW_MS):
    return layout.windows(records, np.full(len(records), now_ms))


@pytest.mark.parametrize(
    ("entity", "size"),
    [
        (Entity.CARD, 16 + 3 * 5 * 4),
        (Entity.DEVICE, 16 + 5 * 4 + 5 * 8),
        (Entity.IP, 16 + 5 * 4),
    ],
)
def test_a_value_has_the_size_of_its_header_and_rings(entity, size):
    layout = layout_of(entity)
    assert layout.size == size
    assert [len(value) for value in layout.encode(layout.blank(2))] == [size, size]


def test_the_header_is_pinned():
    records, _ = applied(layout_of(Entity.IP), [NOW_MS], [1])
    assert layout_of(Entity.IP).encode(records)[0][:16].hex() == (
        "5344"  # SD
        "0100"
        "00000000"
        "0068e5cf8b010000"
    )


def test_a_card_value_is_pinned():
    records, _ = applied(
        layout_of(Entity.CARD), [NOW_MS, NOW_MS - HOUR_MS // 2], [1, 1, 2_500], [1, 1, 900]
    )
    assert layout_of(Entity.CARD).encode(records)[0].hex() == (
        "53440100000000000068e5cf8b010000"
        "0000000001000000000000000100000000000000"
        "0000000000000000000000000200000000000000"
        "000000000000000000000000480d000000000000"
    )


def test_a_device_value_is_pinned():
    records, _ = applied(layout_of(Entity.DEVICE), [NOW_MS], [1, 1 << 63])
    assert layout_of(Entity.DEVICE).encode(records)[0].hex() == (
        "53440100000000000068e5cf8b010000"
        "0000000000000000000000000100000000000000"
        "00000000000000000000000000000000000000000000000000000000000000800000000000000000"
    )


def test_values_read_back():
    layout = layout_of(Entity.CARD)
    records, _ = applied(layout, [NOW_MS], [1, 1, 2_500])
    assert layout.encode(layout.decode(layout.encode(records))) == layout.encode(records)


def test_windows_are_read_for_many_rows_at_once():
    layout = layout_of(Entity.CARD)
    one, _ = applied(layout, [NOW_MS], [1, 1, 2_500])
    two, _ = applied(layout, [NOW_MS, NOW_MS - 2 * HOUR_MS], [1, 1, 100], [1, 1, 50])
    read = windows(layout, layout.decode(layout.encode(one) + layout.encode(two)))
    assert read.totals.tolist() == [[1, 1, 2_500], [1, 2, 150]]
    assert read.bitmaps.shape == (2, 0)
    assert read.base_ms.tolist() == [NOW_MS, NOW_MS]


def test_each_row_may_be_read_as_of_its_own_instant():
    layout = layout_of(Entity.IP)
    one, _ = applied(layout, [NOW_MS], [1])
    both = layout.decode(2 * layout.encode(one))
    read = layout.windows(both, np.array([NOW_MS, NOW_MS + 2 * HOUR_MS]))
    assert read.totals.tolist() == [[1], [0]]


def test_distinct_bits_gather():
    layout = layout_of(Entity.DEVICE)
    bits = [distinct_bit(id) for id in ("a", "b", "a")]
    records, _ = applied(layout, [NOW_MS] * 3, *([1, bit] for bit in bits))
    read = windows(layout, records)
    assert read.totals.tolist() == [[3]]
    assert read.bitmaps.tolist() == [[bits[0] | bits[1]]]


def test_sums_saturate_and_say_so():
    layout = layout_of(Entity.CARD)
    records, _ = applied(layout, [NOW_MS], [1, 1, U32_MAX - 1])
    assert records["flags"].tolist() == [0]
    records, _ = applied(layout, [NOW_MS], [1, 1, 5], records=records)
    assert windows(layout, records).totals.tolist() == [[2, 2, U32_MAX]]
    assert records["flags"].tolist() == [1]


def test_an_amount_beyond_any_counter_saturates_it_alone():
    layout = layout_of(Entity.CARD)
    records, _ = applied(layout, [NOW_MS], [1, 1, 2**53])
    assert windows(layout, records).totals.tolist() == [[1, 1, U32_MAX]]


def test_one_saturated_row_does_not_mark_its_neighbours():
    layout = layout_of(Entity.IP)
    records = layout.blank(2)
    layout.apply(
        records,
        np.array([0, 1]),
        np.array([NOW_MS, NOW_MS]),
        [np.array([2**32, 1], dtype=np.uint64)],
    )
    assert records["flags"].tolist() == [1, 0]


def test_a_late_event_goes_to_the_bucket_of_its_own_time():
    layout = layout_of(Entity.IP)
    records, _ = applied(layout, [NOW_MS], [1])
    records, dropped = applied(layout, [NOW_MS - HOUR_MS // 2], [1], records=records)
    assert dropped == 0
    assert records["base"].tolist() == [NOW_MS]
    assert windows(layout, records).totals.tolist() == [[2]]


def test_an_event_older_than_every_ring_is_dropped_and_counted():
    layout = layout_of(Entity.CARD)
    records, _ = applied(layout, [NOW_MS], [1, 1, 100])
    before = layout.encode(records)
    records, dropped = applied(layout, [NOW_MS - 2 * DAY_MS], [1, 1, 100], records=records)
    assert dropped == 1
    assert layout.encode(records) == before


def test_an_event_too_old_for_one_ring_still_counts_in_a_longer_one():
    layout = layout_of(Entity.CARD)
    records, _ = applied(layout, [NOW_MS], [1, 1, 100])
    records, dropped = applied(layout, [NOW_MS - 3 * HOUR_MS], [1, 1, 100], records=records)
    assert dropped == 0
    assert windows(layout, records).totals.tolist() == [[1, 2, 200]]


def test_slots_that_time_has_passed_are_cleared_when_written():
    layout = layout_of(Entity.IP)
    records, _ = applied(layout, [NOW_MS], [7])
    records, _ = applied(layout, [NOW_MS + 10 * HOUR_MS], [1], records=records)
    assert records["ip_attempted_1h"].sum() == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-1],
        lambda value: value + b"\0",
        lambda value: b"",
        lambda value: b"XD" + value[2:],
        lambda value: value[:2] + (COUNTER_SCHEMA + 1).to_bytes(2, "little") + value[4:],
    ],
    ids=["short", "long", "empty", "magic", "schema"],
)
def test_a_value_that_is_not_of_this_layout_is_unreadable(damage):
    layout = layout_of(Entity.IP)
    good = layout.encode(layout.blank(1))[0]
    with pytest.raises(Unreadable):
        layout.decode([good, damage(good)])


def test_two_wrong_lengths_do_not_make_up_for_each_other():
    layout = layout_of(Entity.IP)
    good = layout.encode(layout.blank(1))[0]
    with pytest.raises(Unreadable):
        layout.decode([good + good, b""])


def test_a_schema_that_this_release_does_not_know_has_no_layout():
    with pytest.raises(KeyError):
        layout_of(Entity.IP, COUNTER_SCHEMA + 1)


def test_a_key_names_tenant_entity_and_id():
    assert key("acme", Entity.CARD, "tok_1") == "acme:card:tok_1"


def test_the_bit_of_an_id_is_its_xxhash64_modulo_64():
    assert distinct_bit("a") == 1 << (0xD24EC4F1A98C6E5B % 64)
