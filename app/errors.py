"""Errors that a person at a terminal gets told in one sentence, with exit code 2."""

from __future__ import annotations

__all__ = ["OperatorError"]


class OperatorError(Exception):
    """Something the operator can put right; the message is one clear sentence."""
