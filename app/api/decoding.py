"""msgspec's JSON decoder, with the patterns of a resource looked at together.

msgspec calls Python's `re` for each text that has a pattern, which is half of what an attempt costs
to decode. So a twin of the type is decoded that has none, and one pattern is held to all of its
texts, a line each. Whatever is not as it must be is decoded again by the type itself, which says
what is wrong: values, problems and their words are msgspec's own.
"""

from __future__ import annotations

import re
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, Struct

from app.api.wire import inner

__all__ = ["Decoder"]

T = TypeVar("T")


class Decoder(Generic[T]):
    """Decodes one kind of resource, as `msgspec.json.Decoder` does."""

    def __init__(self, of: type[T]) -> None:
        """Take the patterns out of a type.

        Args:
            of: a struct; what it has of other structs is read by its twins, which are subclasses.
        """
        self._strict = msgspec.json.Decoder(of)
        found = _Patterns()
        self._relaxed = msgspec.json.Decoder(cast("type[T]", found.taken_out_of(of, "")))
        assert len(found.texts) > 1  # of one alone there would be no tuple
        self._texts = attrgetter(*found.texts)
        self._well_formed = re.compile(
            "\n".join(f"(?:{inner(pattern)}|)" for pattern in found.texts.values())
        ).fullmatch
        self._names = [
            (attrgetter(path), re.compile(inner(pattern)).fullmatch)
            for path, pattern in found.names.items()
        ]

    def decode(self, body: bytes) -> T:
        """Read a body.

        Raises:
            msgspec.ValidationError: of the wrong shape.
            msgspec.DecodeError: not JSON.
            UnicodeDecodeError: not UTF-8.
            RecursionError: nested too deeply.
        """
        try:
            value = self._relaxed.decode(body)
        except Exception:  # noqa: BLE001 - said by the other one
            return self._strict.decode(body)
        return value if self._fits(value) else self._strict.decode(body)

    def _fits(self, value: T) -> bool:
        """Whether all texts are as their patterns ask: none of those matches a line break."""
        texts = self._texts(value)
        lines = "\n".join(["" if text is UNSET else text for text in texts])
        if "" in texts or not self._well_formed(lines):
            return False
        for get, well_formed in self._names:
            names = get(value)
            if names is not UNSET and not all(map(well_formed, names)):
                return False
        return True


class _Patterns:
    """Takes patterns out of types.

    Attributes:
        texts: pattern of a text, by its path.
        names: pattern of the names in a mapping, by the mapping's path.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def taken_out_of(self, of: Any, path: str) -> Any:
        """The type without patterns, at a path of attributes from the top."""
        if isinstance(of, type) and issubclass(of, Struct):
            return self._twin(of, path)
        if get_origin(of) is Annotated:
            kind, meta = get_args(of)
            if get_origin(kind) is dict:
                return Annotated[self._mapping(kind, path), meta]
            pattern, bare = _without(of)
            if pattern is not None:
                self.texts[path] = pattern
            return bare
        if get_origin(of) in {Union, UnionType}:
            # A struct that may be absent keeps its patterns: there may be nothing to look into.
            one_of = [
                part if isinstance(part, type) else self.taken_out_of(part, path)
                for part in get_args(of)
            ]
            return Union[tuple(one_of)]  # noqa: UP007 - made of what was found
        return of

    def _twin(self, of: type[Struct], path: str) -> type[Struct]:
        config = of.__struct_config__
        fields: list[Any] = []
        for field in msgspec.structs.fields(of):
            assert field.default_factory is NODEFAULT
            kind = self.taken_out_of(field.type, f"{path}.{field.name}".lstrip("."))
            required = field.default is NODEFAULT
            fields.append((field.name, kind) if required else (field.name, kind, field.default))
        return msgspec.defstruct(
            of.__name__,
            fields,
            bases=(of,),
            module=of.__module__,
            frozen=config.frozen,
            kw_only=True,
            omit_defaults=config.omit_defaults,
            forbid_unknown_fields=config.forbid_unknown_fields,
            gc=config.gc,
        )

    def _mapping(self, of: Any, path: str) -> Any:
        name, value = get_args(of)
        pattern, bare = _without(name)
        if pattern is not None:
            self.names[path] = pattern
        return dict[bare, value]  # type: ignore[valid-type]


def _without(of: Any) -> tuple[str | None, Any]:
    """The pattern of a text, and its type without one."""
    kind, meta = get_args(of)
    if kind is not str or meta.pattern is None:
        return None, of
    lengths = meta.min_length, meta.max_length
    if lengths == (None, None):
        return meta.pattern, str
    return meta.pattern, Annotated[str, Meta(min_length=lengths[0], max_length=lengths[1])]
