"""The language of rule conditions: a closed grammar, parsed into a closed set of nodes.

    amount.ref > 3 * tier.amount_high and not three_ds.liability_shift
    instrument.issuer_country not in ["US", "CA"] or merchant.id in hot_merchants

An expression becomes the nodes below and nothing else, so that a rule file can compare, combine,
look up and calculate, and do nothing more: no calls, no attributes, no Python. `predicate.py`
checks the nodes and compiles them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, v_args

__all__ = [
    "LENGTH_MAX",
    "Binary",
    "Constant",
    "GrammarError",
    "Joined",
    "ListName",
    "Membership",
    "Name",
    "Node",
    "Unary",
    "Value",
    "parse",
]

LENGTH_MAX: Final = 500
"""Characters in one expression; a longer one is refused."""

Value: TypeAlias = bool | int | float | str

_SYNTAX: Final = r"""
?start: any_of
?any_of: all_of
       | all_of (OR all_of)+ -> joined
?all_of: inverted
       | inverted (AND inverted)+ -> joined
?inverted: test
         | NOT inverted -> unary
?test: sum
     | sum COMPARATOR sum -> binary
     | sum [NOT] IN members -> membership
?sum: product
    | sum (PLUS | MINUS) product -> binary
?product: signed
        | product (TIMES | OVER) signed -> binary
?signed: literal
       | MINUS signed -> unary
       | NAME -> name
       | "(" any_of ")"
?members: NAME -> list_name
        | "[" literal ("," literal)* "]" -> list_literal
?literal: NUMBER -> number
        | STRING -> string
        | (TRUE | FALSE) -> truth

OR: "or"
AND: "and"
NOT: "not"
IN: "in"
TRUE: "true"
FALSE: "false"
COMPARATOR: "==" | "!=" | "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*"
OVER: "/"
NAME: /[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*/
NUMBER: /[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/
STRING: /"[^"\n]*"|'[^'\n]*'/
%ignore /[ \t\n]+/
"""


class GrammarError(ValueError):
    """An expression that cannot be accepted.

    Attributes:
        position: the character at which it goes wrong, counted from 1.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (character {position})")
        self.position = position


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a string, or true or false, as written. `at` is its position, from 1."""

    at: int
    value: Value


@dataclass(frozen=True, slots=True)
class Name:
    """An input by its dotted name."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class ListName:
    """A named list: what stands on the right of `in` without brackets."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """`not operand` or `-operand`."""

    at: int
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """A comparison or a calculation of two operands."""

    at: int
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Joined:
    """Two or more operands joined by one of `and` and `or`; flat, so that chains add no depth."""

    at: int
    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """`operand in members`, or `not in` when negated."""

    at: int
    operand: Node
    members: ListName | tuple[Constant, ...]
    negated: bool


Node: TypeAlias = Constant | Name | Unary | Binary | Joined | Membership


def parse(text: str) -> Node:
    """Parse one expression.

    Raises:
        GrammarError: it is too long, or not in the grammar.
    """
    if len(text) > LENGTH_MAX:
        raise GrammarError(f"the expression is longer than {LENGTH_MAX} characters", LENGTH_MAX + 1)
    try:
        # the transformer is applied while parsing, so the tree that lark's types promise is a node
        node: Any = _PARSER.parse(text)
    except UnexpectedInput as error:
        raise _refusal(text, error) from None
    return node  # type: ignore[no-any-return]


def _refusal(text: str, error: UnexpectedInput) -> GrammarError:
    position = error.pos_in_stream
    if isinstance(error, UnexpectedCharacters) and position is not None:
        return GrammarError(f"{text[position]!r} does not belong here", position + 1)
    token = getattr(error, "token", None)
    if position is None or token is None or token.type == "$END":
        return GrammarError("the expression ends too early", len(text) + 1)
    return GrammarError(f"{str(token)!r} does not belong here", position + 1)


@v_args(inline=True)
class _Builder(Transformer[Token, Node]):
    """Builds nodes while the parser reduces: nothing recurses, however deep the text."""

    def joined(self, *parts: Any) -> Joined:
        return Joined(_at(parts[1]), str(parts[1]), parts[::2])

    def unary(self, sign: Token, operand: Node) -> Unary:
        return Unary(_at(sign), str(sign), operand)

    def binary(self, left: Node, sign: Token, right: Node) -> Binary:
        return Binary(_at(sign), str(sign), left, right)

    def membership(
        self, operand: Node, inverted: Token | None, sign: Token, members: Any
    ) -> Membership:
        return Membership(_at(sign), operand, members, negated=inverted is not None)

    def list_name(self, token: Token) -> ListName:
        return ListName(_at(token), str(token))

    def list_literal(self, *members: Constant) -> tuple[Constant, ...]:
        return members

    def name(self, token: Token) -> Name:
        return Name(_at(token), str(token))

    def number(self, token: Token) -> Constant:
        value = float(token)
        if math.isinf(value):
            raise GrammarError("the number is out of range", _at(token))
        return Constant(_at(token), int(token) if token.isdigit() else value)

    def string(self, token: Token) -> Constant:
        return Constant(_at(token), str(token[1:-1]))

    def truth(self, word: Token) -> Constant:
        return Constant(_at(word), word == "true")


def _at(token: Token) -> int:
    return (token.start_pos or 0) + 1


_PARSER: Final = Lark(_SYNTAX, parser="lalr", transformer=_Builder())
