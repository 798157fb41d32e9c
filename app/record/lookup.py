"""Finds one decision's record in the journals of this host."""

from __future__ import annotations

from pathlib import Path

from app.ids import locate
from app.record.decision import DecisionRecord, decode_record
from app.record.frames import (
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    records,
    segments_of,
)

__all__ = ["ElsewhereError", "find_decision"]

# The id is made a moment before its record is written.
CLOCK_SLACK_MS = 5_000


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
    wanted = decision_id.encode()
    for path in reversed(segments_of(folder / f"{place.writer:05d}")):
        data = path.read_bytes()
        try:
            header = SegmentHeader.unpack(data)
            if header.opened_ms > place.unix_ms + CLOCK_SLACK_MS:
                continue
            for record in records(data[HEADER_BYTES:], header):
                if record.kind is Kind.DECISION and wanted in record.payload:
                    found = decode_record(record.payload)
                    if found.decision_id == decision_id:
                        return found
        except BrokenChain:
            continue
        if header.opened_ms < place.unix_ms - CLOCK_SLACK_MS:
            break  # every older segment ended before the decision
    return None
