"""Looking a decision up: in the right journal, among many segments, and nowhere else."""

from __future__ import annotations

import time

import msgspec
import pytest

from app.ids import DecisionIds
from app.record.decision import DecisionRecord, encode
from app.record.frames import Kind, segments_of
from app.record.journal import open_journal
from app.record.lookup import ElsewhereError, find_decision

REGION = 3
RECORD = DecisionRecord(
    tenant="acme",
    decision_id="",
    attempt_id="a1",
    received_ms=1,
    as_of_ms=1,
    request=b"{}",
    amount_ref=1,
    entities={},
    bits={},
    merchant={},
    action="approve",
    ranking=0.0,
    rung="rules",
    not_higher={},
    reasons=[],
    versions={},
    deadline_ms=80,
    took_ms=1.0,
)


class Writer:
    """Writes decisions into a journal of small segments."""

    def __init__(self, folder):
        self.journal = open_journal(folder, region=REGION, segment_bytes=4_096)
        self._ids = DecisionIds(region=REGION, writer=self.journal.writer)

    def decide(self):
        id = self._ids.new(time.time_ns() // 1_000_000)
        record = msgspec.structs.replace(RECORD, decision_id=id)
        self.journal.append(Kind.DECISION, encode(record))
        return id


@pytest.fixture
def writers(tmp_path):
    opened = [Writer(tmp_path), Writer(tmp_path)]
    yield opened
    for writer in opened:
        writer.journal.close()


def test_every_decision_of_every_writer_and_segment_is_found(tmp_path, writers):
    ids = [writer.decide() for _ in range(60) for writer in writers]
    assert len(segments_of(tmp_path / "00000")) > 2
    for id in ids:
        assert find_decision(tmp_path, id, region=REGION).decision_id == id


def test_a_decision_that_was_never_recorded_is_not_found(tmp_path, writers):
    writers[0].decide()
    unrecorded = DecisionIds(region=REGION, writer=0).new()
    assert find_decision(tmp_path, unrecorded, region=REGION) is None


def test_a_writer_that_never_was_has_no_decisions(tmp_path):
    unknown = DecisionIds(region=REGION, writer=0xFFFF).new()
    assert find_decision(tmp_path, unknown, region=REGION) is None


def test_another_region_s_decision_is_known_to_be_elsewhere(tmp_path):
    with pytest.raises(ElsewhereError) as caught:
        find_decision(tmp_path, DecisionIds(region=7, writer=0).new(), region=REGION)
    assert caught.value.region == 7


@pytest.mark.parametrize(
    "id", ["", "dec_", "dec_1", "chg_018bcfe5-6800-7000-8000-000000000000", "dec_" + "é" * 32]
)
def test_what_is_not_a_decision_id_is_said_to_be_none(tmp_path, id):
    with pytest.raises(ValueError, match=r"decision id|UUID|base 16"):
        find_decision(tmp_path, id, region=REGION)


def test_a_broken_segment_hides_only_what_stands_behind_the_break(tmp_path, writers):
    writer = writers[0]
    ids = [writer.decide() for _ in range(60)]
    second = segments_of(tmp_path / "00000")[1]
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 1
    second.write_bytes(data)
    found = [find_decision(tmp_path, id, region=REGION) is not None for id in ids]
    lost = found.count(False)
    assert 0 < lost < 30
    assert found[0]
    assert found[-1]


def test_a_segment_of_some_other_format_is_passed_over(tmp_path, writers):
    id = writers[0].decide()
    (tmp_path / "00000" / "99999999-000000000001.journal").write_bytes(b"something else")
    assert find_decision(tmp_path, id, region=REGION).decision_id == id
