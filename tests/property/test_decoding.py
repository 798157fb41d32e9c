"""A body is decoded as msgspec's own decoder has it: the same value, or the same words."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.decoding import Decoder
from app.api.wire import Attempt, Label, Outcome, StandIn

KINDS = [Attempt, StandIn, Outcome, Label]
WORDS = [
    "",
    "\n",
    "\0",
    " ",
    "a",
    "a\n",
    "a\nb",
    "tok_12345",
    "é",
    "DE",
    "DE\n",
    "de",
    "DEU",
    "EUR",
    "2026-01",
    "2026-13",
    "123456",
    "1234567",
    "12345678",
    "\u0662\u0660\u0662\u0666-\u0660\u0661",  # digits of another script
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00Z\n",
    "x" * 64,
    "x" * 65,
    "x" * 129,
]
words = st.sampled_from(WORDS) | st.text(max_size=6)
scalars = words | st.integers(-1, 2**53) | st.booleans() | st.none()


def of_shape(info):
    """Bodies of the shape of a type, with any word in the place of any text."""
    match info:
        case msgspec.inspect.StructType():
            members = {field.name: of_shape(field.type) for field in info.fields}
            needed = {
                field.name: members.pop(field.name) for field in info.fields if field.required
            }
            shape = st.fixed_dictionaries(needed, optional=members)
        case msgspec.inspect.UnionType():
            shape = st.one_of([of_shape(one) for one in info.types])
        case msgspec.inspect.Metadata():
            shape = of_shape(info.type)
        case msgspec.inspect.DictType():
            shape = st.dictionaries(words, scalars, max_size=3)
        case msgspec.inspect.LiteralType():
            shape = st.sampled_from(info.values)
        case msgspec.inspect.StrType():
            shape = words
        case _:
            shape = scalars
    return shape


def said(decode, body):
    try:
        return msgspec.json.encode(decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_body_means_what_it_means_to_the_decoder_of_its_type(kind, data):
    body = json.dumps(data.draw(of_shape(msgspec.inspect.type_info(kind)))).encode()
    assert said(Decoder(kind).decode, body) == said(msgspec.json.Decoder(kind).decode, body)


GOOD = {
    "attempt_id": "a1",
    "occurred_at": "2026-01-01T00:00:00Z",
    "amount": {"value": 2_500, "currency": "EUR"},
    "merchant": {"id": "mer_1", "terminal_id": "t"},
    "instrument": {"token": "tok_12345", "bin": "123456", "expires": "2026-01"},
    "customer": {"id": "c", "email_hash": "e", "account_created_at": "2026-01-01T00:00:00Z"},
    "network": {"ip_country": "DE"},
    "attributes": {"a": 1.0},
}
PLACES = [
    (part, name)
    for part, of in GOOD.items()
    for name in (of if isinstance(of, dict) else [None])
    if part != "attributes"
]


@given(st.sampled_from(PLACES), words)
def test_any_word_in_any_one_place_of_a_good_body_is_as_msgspec_has_it(place, word):
    part, name = place
    changed = word if name is None else {**GOOD[part], name: word}
    body = json.dumps({**GOOD, part: changed}).encode()
    assert said(Decoder(Attempt).decode, body) == said(msgspec.json.Decoder(Attempt).decode, body)


@given(words)
def test_any_name_of_an_attribute_is_as_msgspec_has_it(word):
    body = json.dumps({**GOOD, "attributes": {"a": 1, word: True}}).encode()
    assert said(Decoder(Attempt).decode, body) == said(msgspec.json.Decoder(Attempt).decode, body)


@pytest.mark.parametrize("kind", KINDS)
@given(body=st.binary(max_size=40))
def test_what_is_no_json_is_said_in_msgspec_s_words(kind, body):
    assert said(Decoder(kind).decode, body) == said(msgspec.json.Decoder(kind).decode, body)
