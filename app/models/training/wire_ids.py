"""Ids of somebody's own data as the wire takes them, the same for the same id every time.

    letters, or letters and digits, that the wire takes   kept as they are
    digits only: 7                                        a prefix before them: mer_7
    what the wire refuses (blanks, too long, or what
    looks like a card number, as one long number in
    twenty does by chance)                                a prefix and a UUID made from it

Whoever posts attempts later must name entities the same way to meet their history.
"""

from __future__ import annotations

import uuid

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.api.pan import looks_like_pan
from app.models.training.history import HistoryError
from app.models.training.mapping import WIRE_FIELDS

__all__ = ["ID_PREFIXES", "wire_ids"]

# A token has eight characters at least, so its prefix is a long one.
ID_PREFIXES = {
    "attempt_id": "att_",
    "merchant.id": "mer_",
    "merchant.terminal_id": "ter_",
    "instrument.token": "instrument_",
    "customer.id": "cus_",
    "customer.email_hash": "eml_",
    "customer.phone_hash": "pho_",
    "device.id": "dev_",
    "network.ip_hash": "ip_",
}

_LIMITS = {name: msgspec.inspect.type_info(WIRE_FIELDS[name]) for name in ID_PREFIXES}
_NUMBER = "^-?[0-9]+$"
_MANY_DIGITS = "[0-9](?:[ -]?[0-9]){12}"  # without so many there is no card number to look for
# Long numbers look like a card number once in twenty, card numbers always.
_CARD_SHARE_MAX = 0.5


def wire_ids(ids: pa.StringArray, *, field: str, column: str) -> pa.StringArray:
    """The ids of a column as those of a field of the wire; nulls stay.

    Raises:
        HistoryError: the column holds card numbers.
    """
    encoded = ids.dictionary_encode()
    prefix, names = ID_PREFIXES[field], encoded.dictionary
    named = pc.if_else(
        pc.match_substring_regex(names, _NUMBER),
        pc.binary_join_element_wise(prefix, names, ""),
        names,
    )
    many_digits = pc.match_substring_regex(named, _MANY_DIGITS).to_numpy(zero_copy_only=False)
    refused = ~_taken(named, field).to_numpy(zero_copy_only=False)
    cards = [at for at in np.flatnonzero(many_digits) if looks_like_pan(named[at].as_py())]
    if len(cards) > _CARD_SHARE_MAX * len(names):
        raise HistoryError(f"the column {column!r} holds card numbers; map tokens of them instead.")
    refused[cards] = True
    replaced = [
        f"{prefix}{uuid.uuid5(uuid.NAMESPACE_OID, name)}"
        for name in names.filter(pa.array(refused)).to_pylist()
    ]
    clean = pc.replace_with_mask(named, pa.array(refused), pa.array(replaced, pa.string()))
    return clean.take(encoded.indices)


def _taken(ids: pa.StringArray, field: str) -> pa.BooleanArray:
    """Which ids the wire takes as far as their characters and length go."""
    limits = _LIMITS[field]
    assert isinstance(limits, msgspec.inspect.StrType)
    return pc.match_substring_regex(ids, f"^[!-~]{{{limits.min_length or 1},{limits.max_length}}}$")
