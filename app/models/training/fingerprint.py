"""Fingerprint of a history: of its values, and of nothing else.

The same rows have the same one whatever file they came from (Parquet or CSV, one file or many) and
however Arrow keeps them (plain text or dictionaries, one chunk or several).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.models.training.history import History, encoded

__all__ = ["fingerprint"]

# Joins an attempt with what came later, which is hashed as joined; no model sees it.
_NOT_READ = {"attempt_id"}


def fingerprint(history: History) -> str:
    """Hash of the attempts, what was learnt of them, when, and of the merchant directory.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    later = history.later
    order = np.lexsort((later.what, later.at_ms, later.known_ms, later.attempt))
    for values in (
        history.received_ms,
        history.amount_ref,
        history.fraud,
        history.labelled_ms,
        *(of[order] for of in (later.attempt, later.at_ms, later.known_ms, later.what)),
    ):
        digest.update(np.ascontiguousarray(values).data)
    for name in sorted(set(history.attempts.column_names) - _NOT_READ):
        column = history.attempts[name]
        if column.null_count < len(column):  # nothing known is as good as no column
            digest.update(f"\0{name}\0{_family(column.type)}\0".encode())
            _add(digest, column)
    digest.update(msgspec.json.encode(sorted(history.merchants.items())))
    return digest.hexdigest()[:16]


def _family(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return "text"
    return str(kind)


def _add(digest: Any, column: pa.ChunkedArray) -> None:  # hashlib names no public type
    """Hash a column: text as numbers and the words that they stand for."""
    if _family(column.type) == "text":
        codes, words = encoded(column)
        digest.update(codes)
        digest.update(msgspec.json.encode(words.to_pylist()))
        return
    array = column.combine_chunks()
    digest.update(np.packbits(pc.is_null(array).to_numpy(zero_copy_only=False)).data)
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    values = pc.fill_null(array, pa.scalar(0).cast(array.type))
    digest.update(np.ascontiguousarray(values.to_numpy(zero_copy_only=False)))
