"""Ids sort by time, are never numeric, and say who can find the record."""

from __future__ import annotations

import uuid

import pytest

from app.ids import DECISION_PREFIX, DecisionIds, DecisionPlace, EventId, locate

NOW_MS = 1_700_000_000_000


def number(decision_id):
    return uuid.UUID(decision_id.removeprefix(DECISION_PREFIX))


@pytest.mark.parametrize(("region", "writer"), [(0, 0), (3, 17), (255, 65_535)])
def test_an_id_tells_region_writer_and_time(region, writer):
    made = DecisionIds(region=region, writer=writer).new(NOW_MS)
    assert locate(made) == DecisionPlace(region=region, writer=writer, unix_ms=NOW_MS)


def test_an_id_is_a_uuid_of_version_7_behind_a_prefix():
    made = DecisionIds(region=255, writer=65_535).new(NOW_MS)
    assert made.startswith("dec_")
    assert number(made).version == 7
    assert number(made).variant == uuid.RFC_4122
    assert made == DECISION_PREFIX + str(number(made))


def test_ids_of_later_milliseconds_sort_later():
    ids = DecisionIds(region=1, writer=2)
    made = [ids.new(NOW_MS + at) for at in range(50)]
    assert made == sorted(made)


def test_ids_of_one_writer_are_unique_within_a_millisecond():
    ids = DecisionIds(region=1, writer=2)
    assert len({ids.new(NOW_MS) for _ in range(4_096)}) == 4_096


def test_an_id_is_of_now_by_default():
    assert locate(DecisionIds(region=1, writer=2).new()).unix_ms > NOW_MS


@pytest.mark.parametrize(("region", "writer"), [(-1, 0), (256, 0), (0, -1), (0, 65_536)])
def test_a_region_or_writer_that_does_not_fit_is_refused(region, writer):
    with pytest.raises(ValueError, match="8 bits"):
        DecisionIds(region=region, writer=writer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dec_",
        "dec_nonsense",
        "evt_018bcfe5-6800-7000-8000-000000000000",
        f"dec_{uuid.UUID(int=0)}",
        "dec_9a3b1f6e-2f0c-4d0a-9d6e-0d8a2f7c1b11",  # version 4
    ],
)
def test_what_is_no_decision_id_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - uuid has words of its own
        locate(text)


def test_events_of_one_writer_sort_by_epoch_then_seq():
    assert EventId(1, 2, 3, 900) < EventId(1, 2, 4, 1) < EventId(1, 2, 4, 2)
