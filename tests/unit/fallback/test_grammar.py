from __future__ import annotations

import pytest

from fallback.grammar import LENGTH_MAX, GrammarError, Joined, parse
from fallback.predicate import DEPTH_MAX, Inputs, InputType, Verdict, compile_expression

INPUTS = {
    "amount.ref": InputType.NUMBER,
    "tier.amount_high": InputType.NUMBER,
    "merchant.id": InputType.STRING,
    "device.emulator": InputType.BOOLEAN,
    "order": InputType.NUMBER,  # begins like a keyword
}
LISTS = {"hot_merchants": frozenset({"m-1", "m-2"})}
PRESENT: Inputs = {
    "amount.ref": 500,
    "tier.amount_high": 100,
    "merchant.id": "m-1",
    "device.emulator": False,
    "order": 1,
}


def verdict(text: str, inputs: Inputs = PRESENT) -> Verdict:
    return compile_expression(text, inputs=INPUTS, lists=LISTS).evaluate(inputs)


def refusal(text: str) -> GrammarError:
    with pytest.raises(GrammarError) as caught:
        compile_expression(text, inputs=INPUTS, lists=LISTS)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "amount.ref == 500",
        "amount.ref != 501",
        "amount.ref > tier.amount_high and not device.emulator",
        "amount.ref >= 5e2 and 500 <= amount.ref",
        "amount.ref < 501",
        'merchant.id == "m-1"',
        "merchant.id != 'm-2'",
        "merchant.id in hot_merchants",
        'merchant.id in ["m-0", "m-1"]',
        'merchant.id not in ["m-2"]',
        "not merchant.id in ['m-2']",
        "device.emulator == false",
        "(amount.ref - tier.amount_high) / 4 == 100",
        "amount.ref == 100 + 2 * 200",
        "amount.ref - 100 - 100 == 300",
        "-amount.ref < - 499.5",
        "device.emulator or order == 1",
    ],
)
def test_each_form_of_the_grammar_holds(text: str) -> None:
    assert verdict(text) is Verdict.HOLDS
    assert verdict(f"not ({text})") is Verdict.DOES_NOT_HOLD


def test_and_binds_closer_than_or() -> None:
    assert verdict("true or true and false") is Verdict.HOLDS
    assert verdict("(true or true) and false") is Verdict.DOES_NOT_HOLD


def test_not_binds_closer_than_and_and_looser_than_a_comparison() -> None:
    assert verdict("not false and true") is Verdict.HOLDS
    assert verdict("not order == 2") is Verdict.HOLDS


def test_a_chain_is_flat() -> None:
    node = parse("true and true and true and true")

    assert isinstance(node, Joined)
    assert len(node.operands) == 4


@pytest.mark.parametrize("absent", [{"amount.ref": None}, {}])
def test_an_absent_input_makes_the_rule_not_apply(absent: Inputs) -> None:
    assert verdict("amount.ref > 100", absent) is Verdict.ABSENT
    assert verdict("not amount.ref > 100", absent) is Verdict.ABSENT


@pytest.mark.parametrize("text", ["order == 1 or device.emulator", "device.emulator or order == 1"])
def test_one_absent_input_is_enough_wherever_it_stands(text: str) -> None:
    assert verdict(text, {"order": 1}) is Verdict.ABSENT


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("amount.ref / tier.amount_high > 1", {"amount.ref": 1, "tier.amount_high": 0}),
        ("amount.ref / 2 > 1", {"amount.ref": 10**400}),
        ("amount.ref > 1", {"amount.ref": "many"}),
        ("device.emulator", {"device.emulator": "yes"}),
    ],
)
def test_an_expression_without_a_value_is_undefined(text: str, inputs: Inputs) -> None:
    assert verdict(text, inputs) is Verdict.UNDEFINED


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("amount.reff > 1", 1, "no input called 'amount.reff'"),
        ("amount.ref > 1 and merchant.id in cold", 35, "no list called 'cold'"),
        ('amount.ref > "1"', 14, "what `>` takes must be a number, and this is a string"),
        ('merchant.id < "m"', 1, "what `<` takes must be a number, and this is a string"),
        ("amount.ref == device.emulator", 12, "a number is never equal to a boolean"),
        ("amount.ref in hot_merchants", 1, "what is looked up in this list must be a string"),
        ('order in [1, "x"]', 14, "a list holds values of one type"),
        ("device.emulator and order", 21, "what `and` joins must be a boolean"),
        ("not order", 5, "what `not` inverts must be a boolean"),
        ("-device.emulator == 1", 2, "what `-` negates must be a number"),
        ("amount.ref + 1", 12, "a condition must be a boolean, and this is a number"),
        ("amount.ref = 5", 12, "'=' does not belong here"),
        ("0 < order < 5", 11, "'<' does not belong here"),
        ("order == 1 and", 15, "ends too early"),
        ("", 1, "ends too early"),
        ("order > 1e999", 9, "out of range"),
        ("true " * 101, 501, f"longer than {LENGTH_MAX} characters"),
    ],
)
def test_a_mistake_is_refused_at_its_position(text: str, position: int, message: str) -> None:
    error = refusal(text)

    assert message in str(error)
    assert error.position == position


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "merchant.id.__class__",
        "merchant.id[0] == 'm'",
        "lambda: true",
        "order ** 9 > 1",
        "merchant.id == f'{order}'",
    ],
)
def test_python_is_not_in_the_grammar(text: str) -> None:
    refusal(text)


def test_too_deep_an_expression_is_refused_without_recursion() -> None:
    assert "deeper than" in str(refusal("-" * (LENGTH_MAX - 10) + "1 > 0"))
    assert "deeper than" in str(refusal("not " * DEPTH_MAX + "true"))
    assert verdict("not " * (DEPTH_MAX - 2) + "true") is Verdict.HOLDS


def test_parentheses_add_no_depth() -> None:
    assert verdict("(" * 200 + "true" + ")" * 200) is Verdict.HOLDS
