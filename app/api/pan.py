"""Card numbers have no place here: refused where an identity goes, redacted in free text.

A card number is a Luhn-valid run of 13 to 19 digits that starts like a card range, blanks and
dashes between groups allowed. One random 16-digit number in ten passes Luhn, so free text that
matches is redacted and the decision goes on, while an identity field that matches is an error
the caller must hear about.
"""

from __future__ import annotations

import re

__all__ = ["looks_like_pan", "redact"]

# First digits of the ISO/IEC 7812 ranges in use: 2221-2720, 3, 4, 5, 6 and 81 (travel, bank cards).
_STARTS_LIKE_CARD = re.compile(r"^(2[2-7]|3[0-9]|4|5|6|81)")
_RUN = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_SHORTEST = 13


def looks_like_pan(text: str) -> bool:
    """Whether the text holds what looks like a card number."""
    if len(text) < _SHORTEST:
        return False
    return any(_is_card(match.group()) for match in _RUN.finditer(text))


def redact(text: str) -> str:
    """The text with each card number replaced by its last four digits."""
    if len(text) < _SHORTEST:
        return text
    return _RUN.sub(
        lambda match: f"[card …{match.group()[-4:]}]" if _is_card(match.group()) else match.group(),
        text,
    )


def _is_card(run: str) -> bool:
    digits = [int(char) for char in run if char.isdigit()]
    if not _STARTS_LIKE_CARD.match("".join(map(str, digits[:2]))):
        return False
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(odd) + sum(_DOUBLED[digit] for digit in even)) % 10 == 0
