"""Conditions of rules, checked when the file is loaded and compiled to plain closures.

Names, types, depth and lists are checked here, once. What is left for the time of a decision is an
input that did not come and a calculation without a value, and neither raises: see `Verdict`.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

from fallback.grammar import (
    Binary,
    Constant,
    GrammarError,
    Joined,
    ListName,
    Membership,
    Name,
    Node,
    Unary,
    Value,
    parse,
)

__all__ = ["DEPTH_MAX", "InputType", "Inputs", "Predicate", "Verdict", "compile_expression"]

DEPTH_MAX: Final = 24
"""Nodes from the root of an expression to its deepest leaf; a deeper one is refused."""

Inputs: TypeAlias = Mapping[str, Value | None]
_Closure: TypeAlias = Callable[[Inputs], Any]  # the checks at load make the types right


class InputType(enum.StrEnum):
    """What an input holds, and with it what an expression may do with it."""

    NUMBER = "number"
    STRING = "string"
    BOOLEAN = "boolean"


_PYTHON_TYPES: Final[Mapping[InputType, tuple[type, ...]]] = {
    InputType.NUMBER: (int, float),
    InputType.STRING: (str,),
    InputType.BOOLEAN: (bool,),
}

_EQUALITY: Final[Mapping[str, Callable[[Any, Any], Any]]] = {"==": operator.eq, "!=": operator.ne}
_ORDER: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


class Verdict(enum.Enum):
    """What one evaluation says. Only `HOLDS` makes a rule apply."""

    HOLDS = enum.auto()
    DOES_NOT_HOLD = enum.auto()
    ABSENT = enum.auto()  # an input that the expression names did not come
    UNDEFINED = enum.auto()  # no value: a division by zero, an overflow, an input of another type


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """A compiled expression.

    Attributes:
        text: the expression as written.
        needs: every input it names, with the Python types that the input may have.
        holds: the closure, to be called only when all of `needs` are there.
    """

    text: str
    needs: tuple[tuple[str, tuple[type, ...]], ...]
    holds: Callable[[Inputs], bool]

    def evaluate(self, inputs: Inputs) -> Verdict:
        """Evaluate against the inputs of one attempt; total, a microsecond or two.

        An input is absent when its key is missing or its value is None. One absent input is
        enough for `ABSENT`, even where an `or` could do without it: what a rule says must not
        depend on the order in which it was written.
        """
        for name, types in self.needs:
            value = inputs.get(name)
            if value is None:
                return Verdict.ABSENT
            if not isinstance(value, types):
                return Verdict.UNDEFINED
        try:
            return Verdict.HOLDS if self.holds(inputs) else Verdict.DOES_NOT_HOLD
        except ArithmeticError:
            return Verdict.UNDEFINED


def compile_expression(
    text: str, *, inputs: Mapping[str, InputType], lists: Mapping[str, frozenset[str]]
) -> Predicate:
    """Check an expression and compile it.

    Args:
        text: the expression.
        inputs: every input there is, by name.
        lists: every named list there is; the lists are bound, not copied.

    Raises:
        GrammarError: it is too long or too deep, not in the grammar, names an input or a list
            that does not exist, mixes types, or is not a condition.
    """
    node = parse(text)
    compiler = _Compiler(inputs, lists)
    holds = compiler.expect(InputType.BOOLEAN, node, depth=1, what="a condition")
    needs = tuple((name, _PYTHON_TYPES[inputs[name]]) for name in compiler.names)
    return Predicate(text=text, needs=needs, holds=holds)


class _Compiler:
    """Checks and compiles one expression, top down, so that the depth bounds the recursion."""

    def __init__(
        self, inputs: Mapping[str, InputType], lists: Mapping[str, frozenset[str]]
    ) -> None:
        self._inputs = inputs
        self._lists = lists
        self.names: dict[str, None] = {}  # an ordered set

    def expect(self, wanted: InputType, node: Node, depth: int, what: str) -> _Closure:
        """Compile a node that must have one type; `what` names its place for the message."""
        found, closure = self.build(node, depth)
        if found is not wanted:
            raise GrammarError(f"{what} must be a {wanted}, and this is a {found}", node.at)
        return closure

    def build(self, node: Node, depth: int) -> tuple[InputType, _Closure]:
        """Compile a node of any type."""
        if depth > DEPTH_MAX:
            raise GrammarError(f"the expression is deeper than {DEPTH_MAX} levels", node.at)
        match node:
            case Constant():
                value = node.value
                return _type_of(node), lambda _: value
            case Name():
                return self._name(node)
            case Unary():
                return self._unary(node, depth)
            case Binary():
                return self._binary(node, depth)
            case Joined():
                return InputType.BOOLEAN, self._joined(node, depth)
            case Membership():
                return InputType.BOOLEAN, self._membership(node, depth)
            case _:
                assert_never(node)

    def _name(self, node: Name) -> tuple[InputType, _Closure]:
        if node.name not in self._inputs:
            raise GrammarError(f"there is no input called {node.name!r}", node.at)
        self.names[node.name] = None
        return self._inputs[node.name], operator.itemgetter(node.name)

    def _unary(self, node: Unary, depth: int) -> tuple[InputType, _Closure]:
        if node.operator == "not":
            operand = self.expect(InputType.BOOLEAN, node.operand, depth + 1, "what `not` inverts")
            return InputType.BOOLEAN, lambda inputs: not operand(inputs)
        operand = self.expect(InputType.NUMBER, node.operand, depth + 1, "what `-` negates")
        return InputType.NUMBER, lambda inputs: -operand(inputs)

    def _binary(self, node: Binary, depth: int) -> tuple[InputType, _Closure]:
        if node.operator in _EQUALITY:
            return InputType.BOOLEAN, self._equality(node, depth)
        what = f"what `{node.operator}` takes"
        left = self.expect(InputType.NUMBER, node.left, depth + 1, what)
        right = self.expect(InputType.NUMBER, node.right, depth + 1, what)
        if node.operator in _ORDER:
            return InputType.BOOLEAN, _applied(_ORDER[node.operator], left, right)
        return InputType.NUMBER, _applied(_ARITHMETIC[node.operator], left, right)

    def _equality(self, node: Binary, depth: int) -> _Closure:
        left_type, left = self.build(node.left, depth + 1)
        right_type, right = self.build(node.right, depth + 1)
        if left_type is not right_type:
            raise GrammarError(f"a {left_type} is never equal to a {right_type}", node.at)
        return _applied(_EQUALITY[node.operator], left, right)

    def _joined(self, node: Joined, depth: int) -> _Closure:
        what = f"what `{node.operator}` joins"
        parts = [self.expect(InputType.BOOLEAN, part, depth + 1, what) for part in node.operands]
        if node.operator == "and":
            return lambda inputs: all(part(inputs) for part in parts)
        return lambda inputs: any(part(inputs) for part in parts)

    def _membership(self, node: Membership, depth: int) -> _Closure:
        members_type, members = self._members(node)
        what = "what is looked up in this list"
        operand = self.expect(members_type, node.operand, depth + 1, what)
        if node.negated:
            return lambda inputs: operand(inputs) not in members
        return lambda inputs: operand(inputs) in members

    def _members(self, node: Membership) -> tuple[InputType, frozenset[Any]]:
        if isinstance(node.members, ListName):
            name = node.members.name
            if name not in self._lists:
                raise GrammarError(f"there is no list called {name!r}", node.members.at)
            return InputType.STRING, self._lists[name]
        first, *others = node.members
        for other in others:
            if _type_of(other) is not _type_of(first):
                raise GrammarError("a list holds values of one type", other.at)
        return _type_of(first), frozenset(member.value for member in node.members)


def _type_of(constant: Constant) -> InputType:
    match constant.value:
        case bool():
            return InputType.BOOLEAN
        case str():
            return InputType.STRING
        case _:
            return InputType.NUMBER


def _applied(function: Callable[[Any, Any], Any], left: _Closure, right: _Closure) -> _Closure:
    return lambda inputs: function(left(inputs), right(inputs))
