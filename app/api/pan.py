"""Card numbers have no place here: refused where an identity goes, redacted in free text.

A card number is 13 to 19 digits, Luhn-valid, that start like a card range, written in one piece or
in groups with one blank or dash between them. What stands beside it may be digits too, as an
expiry date does, so every run of groups is looked at.

One random 16-digit number in ten passes Luhn, so free text that matches is redacted and the
decision goes on, while an identity that matches is an error the caller must hear about. For the
same reason UUIDs and words of hexadecimal digits are not searched: of random ones, one in a
thousand would seem to hold a card number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["has_many_digits", "looks_like_pan", "redact"]

_DIGITS_MIN, _DIGITS_MAX = 13, 19
# The longest in use is 4-4-4-4-3; the bound keeps the work on a hostile text in proportion.
_GROUPS_MAX = 6

# First digits of the ISO/IEC 7812 ranges in use: 2221-2720, 3, 4, 5, 6 and 81 (travel, bank cards).
_STARTS_LIKE_CARD = re.compile(r"2[2-7]|[3-6]|81")
_MANY_DIGITS = re.compile(rf"[0-9](?:[ -]?[0-9]){{{_DIGITS_MIN - 1}}}")
_ALL_ALIKE = bytes.maketrans(b"123456789", b"0" * 9)
_RUN = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_GROUP = re.compile(r"[0-9]+")
_HEXADECIMAL = re.compile(
    r"(?<![0-9A-Za-z])"
    r"(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9]*[A-Fa-f][0-9A-Fa-f]*)"
    r"(?![0-9A-Za-z])"
)
_DOUBLED = str.maketrans("0123456789", "0246813579")


def has_many_digits(json: bytes) -> bool:
    """Whether some text of a JSON document may hold a card number: in 1 us, and rather too often.

    Args:
        json: as encoded by us: no escape in it hides a digit.
    """
    return b"0" * _DIGITS_MIN in json.translate(_ALL_ALIKE, b" -")


def looks_like_pan(text: str) -> bool:
    """Whether the text holds what looks like a card number."""
    return next(_card_numbers(text), None) is not None


def redact(text: str) -> str:
    """The text with each card number replaced by its last four digits."""
    parts, at = [], 0
    for start, end, number in _card_numbers(text):
        parts += [text[at:start], f"[card …{number[-4:]}]"]
        at = end
    return "".join([*parts, text[at:]])


def _card_numbers(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and digits of each card number, from the left, none within another."""
    if not _MANY_DIGITS.search(text):
        return
    searched = _HEXADECIMAL.sub(lambda match: "x" * len(match.group()), text)
    done = 0
    for run in _RUN.finditer(searched):
        groups = list(_GROUP.finditer(searched, run.start(), run.end()))
        for first, group in enumerate(groups):
            if group.start() < done:
                continue
            number = ""
            for last in groups[first : first + _GROUPS_MAX]:
                number += last.group()
                if len(number) > _DIGITS_MAX:
                    break
                if len(number) >= _DIGITS_MIN and _is_card(number):
                    done = last.end()
                    yield group.start(), done, number
                    break


def _is_card(number: str) -> bool:
    if not _STARTS_LIKE_CARD.match(number):
        return False
    digits = number[-1::-2] + number[-2::-2].translate(_DOUBLED)
    return sum(digits.encode("ascii"), -ord("0") * len(digits)) % 10 == 0
