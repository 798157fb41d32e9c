"""Card numbers: found however they are written, and not seen where there are none."""

from __future__ import annotations

import random
import uuid

import msgspec
import pytest

from app.api.pan import has_many_digits, looks_like_pan, redact

VISA = "4111111111111111"


@pytest.mark.parametrize(
    "number",
    [
        VISA,
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "6011111111111117",
        "4222222222222",  # 13 digits
        "6304000000000000000",  # 19 digits
        "8171999927660000",
    ],
)
def test_a_number_of_each_card_range_is_found(number):
    assert looks_like_pan(number)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        f"tok_{VISA}",
        f"card{VISA}",
        f"paid with {VISA}.",
        f"{VISA} 12/29",
        f"{VISA} 123",
        f"4 of 7: {VISA}",
        f"7 {VISA}",
        "order 12 4111-1111-1111-1111",
    ],
)
def test_a_number_is_found_in_company(text):
    assert looks_like_pan(text)
    assert "[card …1111]" in redact(text)
    assert VISA not in redact(text).replace(" ", "").replace("-", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",  # fails Luhn
        "411111111111",  # 12 digits
        "41111111111111111111",  # 20 digits
        "0000000000000000",  # passes Luhn, but no card starts so
        "1783459200000",  # milliseconds since the epoch
        "4111.1111.1111.1111",
        "4111  1111  1111  1111",
        "٤١١١١١١١١١١١١١١١",
    ],
)
def test_other_numbers_are_left_alone(text):
    assert not looks_like_pan(text)
    assert redact(text) == text


def test_uuids_and_hexadecimal_digests_never_look_like_a_card_number():
    rng = random.Random(7)
    ids = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(20_000)]
    digests = [f"{rng.getrandbits(256):064x}" for _ in range(5_000)]
    assert not any(map(looks_like_pan, [*ids, *digests]))


def test_a_uuid_of_digits_alone_is_still_a_uuid():
    assert not looks_like_pan("41111111-1111-4111-8111-411111111111")


def test_redaction_keeps_what_stands_around_and_the_last_four_digits():
    assert redact(f"from {VISA} to 3782 822463 10005, please") == (
        "from [card …1111] to [card …0005], please"
    )


def test_the_last_four_digits_are_digits_when_a_blank_is_among_them():
    assert redact("41111111111111 11") == "[card …1111]"


@pytest.mark.parametrize(
    "text", ["4111111111111111", "4111 1111 1111 1111", "x 4111-1111-1111-1111"]
)
def test_the_quick_search_finds_whatever_holds_a_card_number(text):
    assert looks_like_pan(text)
    assert has_many_digits(msgspec.json.encode({"a": [text]}))


def test_the_quick_search_passes_a_usual_body_by():
    body = {"at": "2026-11-22T10:00:00.123456Z", "amount": 2_500, "bin": "41111111", "id": "a-1"}
    assert not has_many_digits(msgspec.json.encode(body))
