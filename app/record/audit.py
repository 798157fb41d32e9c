"""Records for people and for other programs: one decision explained, many as JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from app.record.decision import DecisionRecord, decode_record
from app.record.frames import (
    HEADER_BYTES,
    BrokenChain,
    Kind,
    Record,
    SegmentHeader,
    records,
    segments_of,
)
from app.record.inputs import recorded_inputs
from app.record.reasons import described

__all__ = ["explained", "exported"]

# A segment is opened a moment before or after its records say they were written.
CLOCK_SLACK_MS = 5_000


def explained(record: DecisionRecord) -> dict[str, Any]:
    """A decision as people read it: asked, answered, why, from what, under which versions."""
    return {
        "decision_id": record.decision_id,
        "attempt_id": record.attempt_id,
        "tenant": record.tenant,
        "received_at": _instant(record.received_ms),
        "asked": msgspec.json.decode(record.request),
        "answered": {
            "action": record.action,
            "score": record.score,
            "rung": record.rung,
            "not_higher": record.not_higher,
            "thresholds": record.thresholds,
            "took_ms": record.took_ms,
            "deadline_ms": record.deadline_ms,
        },
        "reasons": msgspec.to_builtins(described(record.reasons)),
        "inputs": _inputs(record),
        "merchant": record.merchant,
        "entities": record.entities,
        "amount_ref": record.amount_ref,
        "counters": {
            "as_of": _instant(record.as_of_ms),
            "age_ms": record.feature_age_ms,
            "positions": record.positions,
        },
        "model": msgspec.to_builtins(record.model),
        "raw_score": record.raw_score,
        "versions": {**record.versions, **({"rates": record.rates} if record.rates else {})},
    }


def exported(
    folder: Path, *, since_ms: int, until_ms: int, damaged: Callable[[Path, str], None]
) -> Iterator[dict[str, Any]]:
    """Every record written in a time, with its event id; one segment at a time in memory.

    Args:
        folder: the region's journals.
        since_ms: first moment, ms since the epoch.
        until_ms: first moment that is no longer taken.
        damaged: is told of a segment that does not read to its end, and why.

    Yields:
        In order for each writer, one writer after the other.
    """
    for slot in sorted(folder.glob("[0-9]*")):
        for path, header in _overlapping(segments_of(slot), since_ms, until_ms):
            try:
                for record in records(path.read_bytes()[HEADER_BYTES:], header):
                    if since_ms <= record.written_ms < until_ms:
                        yield _line(record)
            except (BrokenChain, msgspec.MsgspecError, FileNotFoundError) as error:
                damaged(path, str(error))


def _overlapping(
    segments: Sequence[Path], since_ms: int, until_ms: int
) -> Iterator[tuple[Path, SegmentHeader]]:
    """Segments that can hold a record of the time: opened before its end, left after its start."""
    candidate: tuple[Path, SegmentHeader] | None = None
    for path in segments:
        try:
            with path.open("rb") as file:
                header = SegmentHeader.unpack(file.read(HEADER_BYTES))
        except (BrokenChain, FileNotFoundError):
            continue  # being started, put aside or removed; damage is for the verification to tell
        if candidate is not None and header.opened_ms >= since_ms - CLOCK_SLACK_MS:
            yield candidate
        candidate = None
        if header.opened_ms < until_ms + CLOCK_SLACK_MS:
            candidate = path, header
    if candidate is not None:
        yield candidate


def _line(record: Record) -> dict[str, Any]:
    kind = record.kind.name.lower() if isinstance(record.kind, Kind) else str(record.kind)
    return {
        "event": record.id._asdict(),
        "kind": kind,
        "written_at": _instant(record.written_ms),
        "head": record.head.hex(),
        "record": explained(decode_record(record.payload))
        if record.kind is Kind.DECISION
        else msgspec.msgpack.decode(record.payload),
    }


def _inputs(record: DecisionRecord) -> dict[str, float | str | None]:
    numbers, categories = recorded_inputs(record)
    return {**numbers, **categories}


def _instant(unix_ms: int) -> str:
    text = datetime.fromtimestamp(unix_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
