"""Whatever the expression and whatever the inputs: refused at load, or a verdict; never a crash.

Expressions are generated together with a reference reading of them in Python, so that a compiled
closure is compared with what its text means.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fallback.grammar import GrammarError
from fallback.predicate import Inputs, InputType, Verdict, compile_expression

INPUTS = {
    "a.x": InputType.NUMBER,
    "a.y": InputType.NUMBER,
    "b.s": InputType.STRING,
    "c.t": InputType.BOOLEAN,
}
LISTS = {"hot": frozenset({"p", "q"})}

present = st.fixed_dictionaries(
    {
        "a.x": st.integers(-1_000, 1_000),
        "a.y": st.integers(-3, 3),
        "b.s": st.sampled_from(["p", "q", "r"]),
        "c.t": st.booleans(),
    }
)
values: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text()
)
anything = st.dictionaries(st.sampled_from(sorted(INPUTS)), values)


@dataclass(frozen=True)
class Sample:
    """A text of the language and the same thing said in Python."""

    text: str
    means: Callable[[Inputs], Any]


def constant(text: str, value: Any) -> Sample:
    return Sample(text, lambda _: value)


def name(text: str) -> Sample:
    return Sample(text, operator.itemgetter(text))


def binary(sign: str, function: Callable[[Any, Any], Any]) -> Callable[[Sample, Sample], Sample]:
    return lambda left, right: Sample(
        f"({left.text}) {sign} ({right.text})",
        lambda inputs: function(left.means(inputs), right.means(inputs)),
    )


NUMBER_SIGNS = [
    binary("+", operator.add),
    binary("-", operator.sub),
    binary("*", operator.mul),
    binary("/", operator.truediv),
]
COMPARISONS = [
    binary("==", operator.eq),
    binary("!=", operator.ne),
    binary("<", operator.lt),
    binary("<=", operator.le),
    binary(">", operator.gt),
    binary(">=", operator.ge),
]


def both(left: Sample, right: Sample) -> Sample:
    """The right side is only looked at when the left one does not decide."""
    return Sample(
        f"({left.text}) and ({right.text})",
        lambda inputs: left.means(inputs) and right.means(inputs),
    )


def either(left: Sample, right: Sample) -> Sample:
    return Sample(
        f"({left.text}) or ({right.text})",
        lambda inputs: left.means(inputs) or right.means(inputs),
    )


JOINTS = [both, either]


def applied(
    functions: list[Callable[[Sample, Sample], Sample]], of: st.SearchStrategy[Sample]
) -> st.SearchStrategy[Sample]:
    return st.builds(lambda join, x, y: join(x, y), st.sampled_from(functions), of, of)


def inverted(sample: Sample) -> Sample:
    return Sample(f"not ({sample.text})", lambda inputs: not sample.means(inputs))


numbers = st.recursive(
    st.one_of(
        st.integers(0, 999).map(lambda n: constant(str(n), n)),
        st.sampled_from(["a.x", "a.y"]).map(name),
    ),
    lambda inner: applied(NUMBER_SIGNS, inner),
    max_leaves=4,
)
memberships = st.sampled_from(
    [
        Sample("b.s in hot", lambda inputs: inputs["b.s"] in ("p", "q")),
        Sample("b.s not in hot", lambda inputs: inputs["b.s"] not in ("p", "q")),
        Sample("b.s in ['r', \"q\"]", lambda inputs: inputs["b.s"] in ("r", "q")),
        Sample("a.y not in [1, 2]", lambda inputs: inputs["a.y"] not in (1, 2)),
    ]
)
conditions = st.recursive(
    st.one_of(applied(COMPARISONS, numbers), memberships, st.just(name("c.t"))),
    lambda inner: st.one_of(applied(JOINTS, inner), inner.map(inverted)),
    max_leaves=4,
)
FRAGMENTS = [
    "a.x",
    "b.s",
    "c.t",
    "hot",
    "and",
    "or",
    "not",
    "in",
    "(",
    ")",
    "[",
    "]",
    ",",
    "-",
    "*",
    "/",
    "<",
    "==",
    "=",
    "1",
    "2.5",
    "'p'",
    "true",
    "nope",
    "§",
]
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=20).map(" ".join)


@given(sample=conditions, inputs=present)
def test_a_compiled_expression_means_what_its_text_says(sample: Sample, inputs: Inputs) -> None:
    predicate = compile_expression(sample.text, inputs=INPUTS, lists=LISTS)

    verdict = predicate.evaluate(inputs)

    try:
        holds = sample.means(inputs)
    except ZeroDivisionError:
        assert verdict is Verdict.UNDEFINED
    else:
        assert verdict is (Verdict.HOLDS if holds else Verdict.DOES_NOT_HOLD)


@given(sample=conditions, inputs=anything)
def test_evaluation_is_total(sample: Sample, inputs: Inputs) -> None:
    predicate = compile_expression(sample.text, inputs=INPUTS, lists=LISTS)

    verdict = predicate.evaluate(inputs)

    absent = any(inputs.get(needed) is None for needed, _ in predicate.needs)
    assert isinstance(verdict, Verdict)
    assert verdict is not Verdict.HOLDS or not absent


def refusal(text: str) -> GrammarError | None:
    try:
        compile_expression(text, inputs=INPUTS, lists=LISTS)
    except GrammarError as error:
        return error
    return None


@given(text=st.one_of(fragments, st.text(max_size=600)))
def test_any_text_is_compiled_or_refused_at_a_position_within_it(text: str) -> None:
    error = refusal(text)

    if error is not None:
        assert 1 <= error.position <= len(text) + 1
        assert "\n" not in str(error)


@given(sample=conditions, missing=st.sampled_from(sorted(INPUTS)), inputs=present)
def test_a_rule_applies_only_when_all_it_names_is_there(
    sample: Sample, missing: str, inputs: dict[str, Any]
) -> None:
    predicate = compile_expression(sample.text, inputs=INPUTS, lists=LISTS)
    named = missing in dict(predicate.needs)
    del inputs[missing]

    assert (predicate.evaluate(inputs) is Verdict.ABSENT) == named
