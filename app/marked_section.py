"""A part of a page that a command writes, between two comments that a reader does not see.

    <!-- prices: begin -->
    ...
    <!-- prices: end -->

Everything around it is a person's. The page is replaced at once, or not at all.
"""

from __future__ import annotations

from pathlib import Path

from app.errors import OperatorError

__all__ = ["read_section", "write_section"]


def read_section(page: Path, name: str) -> str:
    """What stands between the comments, without the line ends next to them.

    Args:
        page: a text file, such as README.md.
        name: of the section.

    Raises:
        OperatorError: the page cannot be read, or does not have both comments, once and in order.
    """
    text = _text(page)
    start, end = _span(page, text, name)
    return text[start:end].strip("\n")


def write_section(page: Path, name: str, body: str) -> bool:
    """Put a body between the comments.

    Args:
        page: a text file.
        name: of the section.
        body: what is to stand there.

    Returns:
        Whether the page is another one now.

    Raises:
        OperatorError: as for `read_section`; the page is as before.
    """
    text = _text(page)
    start, end = _span(page, text, name)
    new = f"{text[:start]}\n{body.strip(chr(10))}\n{text[end:]}"
    if new == text:
        return False
    beside = page.with_name(f".{page.name}.new")
    beside.write_text(new, encoding="utf-8")
    beside.replace(page)
    return True


def _text(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except OSError:
        raise OperatorError(f"{page} cannot be read.") from None


def _span(page: Path, text: str, name: str) -> tuple[int, int]:
    """Where the body begins and ends: behind one comment, and before the other."""
    begin, end = (f"<!-- {name}: {what} -->" for what in ("begin", "end"))
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise OperatorError(f"{page} needs the lines {begin} and {end}, once each and in order.")
    return text.index(begin) + len(begin), text.index(end)
