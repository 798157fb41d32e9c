"""Reading holds for any body: a checked attempt or a problem, and one canonical form."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.pan import looks_like_pan, redact
from app.api.problem import Invalid, Malformed
from app.api.reading import read_attempt

BODY = {
    "attempt_id": "a1",
    "amount": {"value": 2_500, "currency": "EUR"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_12345"},
}

names = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)
texts = st.text(
    st.characters(codec="utf-8") | st.sampled_from('":\\,{}[]0123456789 -\n'), max_size=40
)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
extras = st.dictionaries(names, texts | numbers | st.booleans(), max_size=8)
parts = st.fixed_dictionaries(
    {},
    optional={
        "attributes": extras,
        "step_up_available": st.booleans(),
        "device": st.fixed_dictionaries({}, optional={"os": texts.filter(bool)}),
        "customer": st.just({}),
    },
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def answered(body):
    """The canonical form, or the problem document."""
    try:
        document = read_attempt(body)[1]
    except (Malformed, Invalid) as problem:
        document = problem.body("/v1/decisions")
    return msgspec.json.decode(document)


@given(st.binary(max_size=200) | texts.map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_problem(data):
    with pytest.raises((Malformed, Invalid)):
        read_attempt(data)


@given(parts, st.data())
def test_a_good_body_with_one_byte_changed_is_read_or_refused_with_a_problem(fields, data):
    body = bytearray(json.dumps({**BODY, **fields}, ensure_ascii=False).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    assert isinstance(answered(bytes(body)), dict)


@given(st.sampled_from([*BODY, "attributes", "device", "transaction", "other"]), values)
def test_any_json_in_place_of_a_field_is_read_or_refused_with_a_problem(name, value):
    assert isinstance(answered(json.dumps({**BODY, name: value}).encode()), dict)


@given(parts, st.booleans(), st.sampled_from([None, 0, 3]), st.randoms())
def test_the_canonical_form_depends_on_the_content_alone(fields, ascii_only, indent, random):
    _, canonical = read_attempt(json.dumps({**BODY, **fields}).encode())
    members = [*BODY.items(), *fields.items()]
    random.shuffle(members)
    other = json.dumps(dict(members), ensure_ascii=ascii_only, indent=indent).encode()
    assert read_attempt(other)[1] == canonical


@given(parts)
def test_the_canonical_form_is_its_own_canonical_form(fields):
    attempt, canonical = read_attempt(json.dumps({**BODY, **fields}).encode())
    assert read_attempt(canonical) == (attempt, canonical)


@given(parts, st.data())
def test_a_member_that_stands_twice_is_refused_wherever_it_is(fields, data):
    body = {**BODY, **fields}
    name = data.draw(st.sampled_from(sorted(body)))
    members = [*body.items(), (name, body[name])]
    text = "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(of)}" for key, of in members) + "}"
    with pytest.raises(Malformed, match="stands twice"):
        read_attempt(text.encode())


@given(extras, st.data())
def test_an_attribute_that_stands_twice_is_refused_whatever_its_values_hold(attributes, data):
    name = data.draw(names if not attributes else st.sampled_from(sorted(attributes)))
    members = [*attributes.items(), (name, data.draw(texts)), (name, data.draw(texts))]
    inner = ", ".join(f'"{key}": {json.dumps(of, ensure_ascii=False)}' for key, of in members)
    body = json.dumps(BODY)[:-1] + f', "attributes": {{{inner}}}}}'
    with pytest.raises(Malformed, match="stands twice"):
        read_attempt(body.encode())


@settings(max_examples=300)
@given(st.text("0123456789 -xaf/", max_size=60))
def test_after_redaction_there_is_no_card_number_left(text):
    clean = redact(text)
    assert not looks_like_pan(clean)
    assert looks_like_pan(text) == (clean != text)


@given(extras)
def test_no_card_number_is_left_in_a_canonical_form(attributes):
    attributes = {**attributes, "note": "x 4111 1111 1111 1111", "number": 4_111_111_111_111_111}
    _, canonical = read_attempt(json.dumps({**BODY, "attributes": attributes}).encode())
    kept = msgspec.json.decode(canonical)["attributes"]
    assert not any(looks_like_pan(of) for of in kept.values() if isinstance(of, str))
    assert kept["number"] == "[card …1111]"
