"""Names that commands know without loading what trains."""

from __future__ import annotations

import enum

__all__ = ["Protocol"]


class Protocol(enum.StrEnum):
    """How folds are laid; `app.models.training.folds` says it in full."""

    BOOK = "book"
    PREQUENTIAL = "prequential"
