"""Reads the files that operators write: YAML into a checked structure, or one sentence why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

__all__ = ["DocumentError", "read_document", "read_text"]

T = TypeVar("T")


class DocumentError(ValueError):
    """A file that cannot be used; the message is one sentence that names the file and the place."""


def read_text(path: Path) -> str:
    """Read a UTF-8 file.

    Raises:
        DocumentError: it is not there, not readable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{path}: cannot be read: {error}") from None


def read_document(path: Path, structure: type[T]) -> T:
    """Read a YAML file into a msgspec structure.

    Raises:
        DocumentError: it cannot be read, is not YAML, or does not have this structure.
    """
    text = read_text(path)
    try:
        # a ValueError is what the reader of dates raises; a RecursionError, absurd nesting
        content: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return msgspec.convert(content, structure)
    except msgspec.ValidationError as error:
        raise DocumentError(f"{path}: {error}") from None
