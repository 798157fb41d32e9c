"""What the journal keeps of why a model scored as it did, how people read it, and who wrote it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from app.record.group_sync import sync_folder
from app.record.reasons import described

__all__ = [
    "CHECKPOINT",
    "INPUTS_MAX",
    "ExplainerCheckpoint",
    "ExplanationRecord",
    "decode_explanation",
    "encode_explanation",
    "explanation_shown",
    "read_checkpoint",
    "write_checkpoint",
]

CHECKPOINT = "explainer.json"  # in the journal folder, beside the writers'

# The rest is small, and the sum of all stands in the decision's raw score.
INPUTS_MAX = 12


class ExplanationRecord(Struct, frozen=True, kw_only=True):
    """Payload of an explanation. A decision may have several, all the same: readers take one.

    Attributes:
        tenant: whose decision it is.
        decision_id: that is explained.
        artifact: version of the model artifact that scored.
        rung: which of its models.
        base: the model's mean raw score, log odds.
        contributions: by input, log odds, the largest in magnitude first; at most `INPUTS_MAX`.
        shares: by reason code, the largest first: the part of everything that raised the score.
        evaluator: what computed this.
    """

    v: int = 1
    tenant: str
    decision_id: str
    artifact: str
    rung: str
    base: float
    contributions: dict[str, float]
    shares: dict[str, float]
    evaluator: str


class ExplainerCheckpoint(Struct, frozen=True, kw_only=True):
    """How far the explainer of a journal folder is.

    Attributes:
        positions: last (epoch, seq) dealt with of each journal writer, by "region/writer".
        writers: every slot that it has written explanations to.
        explained: explanations written.
        unexplained: decisions that it had to pass over; the log says why.
        lag_ms: age of the oldest record of the last batch where more were waiting, else 0.
    """

    positions: dict[str, tuple[int, int]] = {}
    writers: list[int] = []
    explained: int = 0
    unexplained: int = 0
    lag_ms: int = 0


_encoder = msgspec.msgpack.Encoder()
_explanation = msgspec.msgpack.Decoder(ExplanationRecord)


def encode_explanation(record: ExplanationRecord) -> bytes:
    """The explanation as journal payload."""
    return _encoder.encode(record)


def decode_explanation(payload: bytes) -> ExplanationRecord:
    """Read an explanation's payload.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _explanation.decode(payload)


def explanation_shown(record: ExplanationRecord) -> dict[str, Any]:
    """An explanation for people: its reason codes with their sentences."""
    return {
        "artifact": record.artifact,
        "rung": record.rung,
        "evaluator": record.evaluator,
        "base": record.base,
        "contributions": record.contributions,
        "reasons": [
            {"code": reason.code, "text": reason.text, "share": share}
            for reason, share in zip(described(record.shares), record.shares.values(), strict=True)
        ],
    }


def read_checkpoint(folder: Path) -> ExplainerCheckpoint:
    """The checkpoint of a journal folder; one that stands at the start where there is none.

    Raises:
        OSError: it cannot be read.
        msgspec.MsgspecError: it is not a checkpoint.
    """
    try:
        return msgspec.json.decode((folder / CHECKPOINT).read_bytes(), type=ExplainerCheckpoint)
    except FileNotFoundError:
        return ExplainerCheckpoint()


def write_checkpoint(folder: Path, checkpoint: ExplainerCheckpoint) -> None:
    """Replace the checkpoint as a whole; it is on disk when this returns.

    Raises:
        OSError: the disk is full or failing; the one before stays.
    """
    fresh = folder / f".{CHECKPOINT}"
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(checkpoint))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / CHECKPOINT)
    sync_folder(folder)
