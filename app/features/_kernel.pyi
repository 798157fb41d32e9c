from typing import Any

def fold(
    layout: tuple[bytes, int, int, Any, Any],
    width: int,
    asked: list[tuple[int, str]],
    found: dict[str, bytes],
    now_ms: Any,
    values: Any,
    bitmaps: Any,
    live: Any,
) -> list[tuple[int, bytes]]: ...
def inputs(
    features: Any,
    values: Any,
    width: int,
    amount: Any,
    now_ms: Any,
    priors: tuple[float, float, float],
    result: Any,
) -> None: ...
