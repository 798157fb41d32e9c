"""Opaque identifiers: a prefix and sixteen letters."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from app.simulator.arrays import Ints

__all__ = ["opaque_ids"]

# Sixteen consonants, one a nibble: without digits no id can look like a card number, and
# without vowels none can spell a word.
_LETTERS = np.frombuffer(b"bcdfghjkmnpqrtvw", dtype=np.uint8)
_SHIFTS = np.arange(60, -1, -4, dtype=np.uint64)


def opaque_ids(prefix: str, seed: int, rows: Ints) -> pa.StringArray:
    """Identifiers of the given row numbers: unique for a prefix and seed.

    The row number, offset by a key from prefix and seed, goes through the finaliser of
    SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), which
    is a bijection of 64 bits: no two rows share an id, and neighbours look unrelated.
    """
    digest = hashlib.blake2b(f"{prefix}{seed}".encode(), digest_size=8).digest()
    mixed = rows.astype(np.uint64) + np.uint64(int.from_bytes(digest, "little"))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    width = len(prefix) + len(_SHIFTS)
    text = np.empty((len(rows), width), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    text[:, len(prefix) :] = _LETTERS[(mixed[:, None] >> _SHIFTS) & np.uint64(15)]
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(
        len(rows), pa.py_buffer(offsets.tobytes()), pa.py_buffer(text.tobytes())
    )
