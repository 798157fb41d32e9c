"""Ids as numbers, however Arrow keeps them."""

import pyarrow as pa

from app.models.training.history import encoded

TEXT = ["x", None, "b", "x", "a", "b"]


def said(column):
    codes, names = encoded(pa.chunked_array(column))
    return codes.tolist(), names.to_pylist()


def test_values_are_numbered_in_the_order_of_their_first_rows():
    assert said([TEXT]) == ([0, -1, 1, 0, 2, 1], ["x", "b", "a"])


def test_dictionaries_of_several_chunks_are_numbered_as_the_text_is():
    chunks = [pa.array(part).dictionary_encode() for part in (TEXT[:2], TEXT[2:4], TEXT[4:])]
    assert said(chunks) == said([TEXT])


def test_what_no_row_of_a_part_has_gets_no_number():
    part = pa.array(["c", *TEXT]).dictionary_encode().take(pa.array([6, 5, 2]))
    assert said([part]) == ([0, 1, -1], ["b", "a"])


def test_without_a_value_there_is_no_name():
    assert said([pa.nulls(2, pa.string())]) == ([-1, -1], [])
