"""Ids that this project itself gives to attempts and the like."""

from __future__ import annotations

import uuid

__all__ = ["fresh_id"]


def fresh_id(prefix: str) -> str:
    """An id nobody has used, such as `att_0f8a...`.

    A UUID: random digits of any other shape now and then make up a card number, and the service
    refuses what looks like one.
    """
    return f"{prefix}_{uuid.uuid4()}"
