"""What the cost table takes from results of `bench hot`, `bench write-side` and `bench sizes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from app.errors import OperatorError
from chaos.bench.hot import Row
from chaos.bench.rows import PURE
from chaos.bench.sizes import Sizes
from chaos.bench.write_side import WriteSide

__all__ = ["Measured", "load_measured", "read_result"]

HOT, WRITE_SIDE, SIZES = "bench-hot.json", "bench-write-side.json", "bench-sizes.json"
# Row of `bench hot` by evaluator; each reads as many stores as a region of the topology.
EVALUATORS = {"CatBoost": "sources-{}", "accelerated": "accelerated-{}"}

_T = TypeVar("_T")


class _Hot(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a decision costs with one evaluator; CPU in us of a core.

    Attributes:
        evaluator: "CatBoost" or "accelerated".
        scorer_us: of the scorers.
        followers_us: of all on the scorers' hosts that follows the answer.
        datastores_us: of all stores that are read, together.
        applier_us: of the applier.
        sizes: bytes and memory.
        void: what is wrong with any of it, one sentence each.
    """

    evaluator: str
    scorer_us: float
    followers_us: float
    datastores_us: float
    applier_us: float
    sizes: Sizes
    void: tuple[str, ...] = ()


def load_measured(folder: Path, *, sources: int) -> list[Measured]:
    """Read the results, one for each evaluator that was measured.

    Args:
        folder: of the results.
        sources: stores that a decision reads.

    Raises:
        OperatorError: a result is missing, or cannot be used.
    """
    hot = {row.name: row for row in read_result(folder / HOT, _Hot, "hot --all").rows}
    write_side = read_result(folder / WRITE_SIDE, WriteSide, "write-side")
    sizes = read_result(folder / SIZES, Sizes, "sizes")
    if sizes.sources != sources:
        raise OperatorError(f"{folder / SIZES} is of {sizes.sources} sources, not of {sources}.")
    rows = {
        evaluator: hot[name]
        for evaluator, row in EVALUATORS.items()
        if (name := row.format(sources)) in hot
    }
    if not rows:
        names = ", ".join(row.format(sources) for row in EVALUATORS.values())
        raise OperatorError(f"{folder / HOT} has none of the rows {names}.")
    return [
        Measured(
            evaluator=evaluator,
            scorer_us=row.cpu_us,
            followers_us=row.cpu_us_by_part["others"],
            datastores_us=row.cpu_us_by_part["datastores"],
            applier_us=write_side.applier_us,
            sizes=sizes,
            void=tuple(_void(row, sizes)),
        )
        for evaluator, row in rows.items()
    ]


def _void(row: Row, sizes: Sizes) -> Sequence[str]:
    """What makes a figure that is used here void: latency is none of them."""
    found = [f"{row.name}: {why}" for why in row.void if not why.startswith("latency")]
    if sizes.full < PURE:
        found.append(f"sizes: full answered only {sizes.full:.1%}.")
    return found


def read_result(path: Path, kind: type[_T], command: str) -> _T:
    """Read a result that was kept.

    Args:
        path: of the JSON.
        kind: what it is.
        command: of `bench`, that makes it.

    Raises:
        OperatorError: it cannot be read, or is another thing.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError:
        raise OperatorError(
            f"{path} cannot be read; `stepdown bench {command} --json` makes it."
        ) from None
    except msgspec.DecodeError as error:
        raise OperatorError(f"{path} is no result of `bench {command}`: {error}.") from None
