from typing import Any

def fold(
    layouts: list[Any],
    width: int,
    asked: list[list[tuple[int, int]]],
    found: list[bytes | None],
    now_ms: Any,
    values: Any,
    bitmaps: Any,
    live: Any,
) -> list[tuple[int, int, bytes]]: ...
def settle(
    names: tuple[bytes, bytes, bytes, bytes],
    entity_of: Any,
    distinct: Any,
    sources: int,
    mapped: Any,
    answered: Any,
    live: Any,
    values: Any,
    bitmaps: Any,
    present: Any,
    least: Any,
) -> list[tuple[bytes, ...] | None]: ...
def inputs(
    features: Any,
    values: Any,
    width: int,
    amount: Any,
    now_ms: Any,
    priors: tuple[float, float, float],
    result: Any,
) -> None: ...
