"""Finds one decision's record, and its explanation, in the journals of this host.

What waits in a writer's ring is looked at, too: a decision is found once it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from app.ids import locate
from app.record.decision import DecisionRecord, decode_record
from app.record.explanation import ExplanationRecord, decode_explanation, read_checkpoint
from app.record.frames import (
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    records,
    segments_of,
)
from app.record.ring_file import waiting_in

__all__ = ["ElsewhereError", "find_decision", "find_explanation"]

# The id is made a moment before its record is written.
CLOCK_SLACK_MS = 5_000
# Seconds as a rule. One that came later, after a long stop, is in an export of the records.
EXPLAINED_WITHIN_MS = 24 * 3_600_000

Waiting = Mapping[str, tuple[int, bytes]]  # see `waiting_in`


class ElsewhereError(LookupError):
    """The decision was made in another region."""

    def __init__(self, region: int) -> None:
        super().__init__(f"the decision was made in region number {region}")
        self.region = region


def find_decision(folder: Path, decision_id: str, *, region: int) -> DecisionRecord | None:
    """The record of a decision, or None.

    Args:
        folder: the region's journal folder.
        decision_id: of the service.
        region: number of this region.

    Raises:
        ValueError: not a decision id.
        ElsewhereError: it is another region's.
    """
    place = locate(decision_id)
    if place.region != region:
        raise ElsewhereError(place.region)
    found = _payloads(
        folder / f"{place.writer:05d}",
        Kind.DECISION,
        decision_id,
        since_ms=place.unix_ms - CLOCK_SLACK_MS,
        until_ms=place.unix_ms + CLOCK_SLACK_MS,
    )
    return next(
        (record for record in map(decode_record, found) if record.decision_id == decision_id), None
    )


def find_explanation(folder: Path, decision_id: str) -> ExplanationRecord | None:
    """Why the model scored a decision as it did; None while no one has explained it.

    Args:
        folder: the region's journal folder.
        decision_id: of a decision of this region.

    Raises:
        ValueError: not a decision id.
    """
    place = locate(decision_id)
    for writer in _explainers(folder):
        found = _payloads(
            folder / f"{writer:05d}",
            Kind.EXPLANATION,
            decision_id,
            since_ms=place.unix_ms - CLOCK_SLACK_MS,
            until_ms=place.unix_ms + EXPLAINED_WITHIN_MS,
        )
        for explanation in map(decode_explanation, found):
            if explanation.decision_id == decision_id:
                return explanation
    return None


def _explainers(folder: Path) -> Sequence[int]:
    """The writer slots that hold explanations; none where that cannot be told."""
    try:
        return read_checkpoint(folder).writers
    except (OSError, msgspec.MsgspecError):
        return ()


def _payloads(
    slot: Path, kind: Kind, wanted: str, *, since_ms: int, until_ms: int
) -> Iterator[bytes]:
    """Payloads of a kind that hold a text, of the segments written to in a time, oldest first."""
    waiting = waiting_in(slot)  # before the files: what leaves the ring meanwhile is found there
    for name, header in _segments(slot, waiting, since_ms=since_ms, until_ms=until_ms):
        try:
            data = _data(slot / name, *waiting.get(name, (0, b"")))
            if wanted.encode() not in data:
                continue  # thousands of records need not be walked
            for record in records(data[HEADER_BYTES:], header):
                if record.kind is kind and wanted.encode() in record.payload:
                    yield record.payload
        except (BrokenChain, FileNotFoundError):
            continue


def _segments(
    slot: Path, waiting: Waiting, *, since_ms: int, until_ms: int
) -> list[tuple[str, SegmentHeader]]:
    """The segments that were written to in a time, oldest first."""
    names = {path.name for path in segments_of(slot)} | waiting.keys()
    found: list[tuple[str, SegmentHeader]] = []
    for name in sorted(names, reverse=True):
        try:
            header = _header(slot / name, *waiting.get(name, (0, b"")))
        except (BrokenChain, FileNotFoundError):
            continue
        if header.opened_ms <= until_ms:
            found.append((name, header))
        if header.opened_ms < since_ms:
            break  # every older segment ended before that
    return found[::-1]


def _header(path: Path, offset: int, waiting: bytes) -> SegmentHeader:
    if waiting and not offset:
        return SegmentHeader.unpack(waiting)
    with path.open("rb") as file:
        return SegmentHeader.unpack(file.read(HEADER_BYTES))


def _data(path: Path, offset: int, waiting: bytes) -> bytes:
    """A segment with what was waiting for it at its offset; by now there may be more of it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if not waiting or offset:
            raise
        data = b""
    return data if len(data) >= offset + len(waiting) else data[:offset] + waiting
