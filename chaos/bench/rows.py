"""The rows of the measure: what is brought up, and what is taken away, for each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from app.errors import OperatorError
from chaos.bench.generator import Phase
from chaos.bench.region import BenchRegion, Shape
from chaos.bench.serving import rungs_of
from chaos.faults import file_gone, process_down

__all__ = ["ROWS", "RowSpec", "prepared"]

SETTLE_S = 20.0
# Share of answers that must be of the rung that is measured, or the row is void.
PURE = 0.99
# A rung that gave most of the last look's answers has taken over.
MOST = 0.5
LOOK = Phase(seconds=1.0)
_MODEL = ("snapshot/current", "model/current")
_RULES = "rules/rules.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSpec:
    """What a row measures.

    Attributes:
        name: of the row.
        rung: that answers.
        shape: of the region.
        down: parts of the region that are killed and kept down.
        gone: published files that are withdrawn.
    """

    name: str
    rung: str = "full"
    shape: Shape = field(default_factory=Shape)
    down: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


# Counters that nobody writes any more must not turn stale while they are measured.
_AGED = Shape(environment=(("STEPDOWN_COUNTERS_AGE_MAX_MS", "3600000"),))
_ACCELERATED = Shape(environment=(("STEPDOWN_ACCELERATOR", "lignum"),))
# All that follows the answer: nothing is applied, joined, explained or kept in history.
_AFTER = ("shipper", "applier", "joiner", "historian", "explainer")

ROWS = {
    row.name: row
    for row in (
        RowSpec(name="full"),
        RowSpec(name="batch", rung="batch", down=("datastore",)),
        RowSpec(name="rules", rung="rules", down=("datastore",), gone=_MODEL),
        RowSpec(
            name="tier_default",
            rung="tier_default",
            down=("datastore",),
            gone=(*_MODEL, _RULES),
        ),
        RowSpec(name="sources-2", shape=Shape(sources=2)),
        RowSpec(name="sources-3", shape=Shape(sources=3)),
        RowSpec(name="shards-3", shape=Shape(shards=3)),
        RowSpec(name="wide", shape=Shape(features="wide")),
        RowSpec(name="accelerated", shape=_ACCELERATED),
        RowSpec(name="accelerated-3", shape=replace(_ACCELERATED, sources=3)),
        RowSpec(name="traced", shape=Shape(traced=True)),
        # What a decision sets off runs on other cores, of which a small machine has too few.
        RowSpec(name="applier-off", shape=_AGED, down=_AFTER),
        RowSpec(name="applier-off-3", shape=replace(_AGED, sources=3), down=_AFTER),
        RowSpec(
            name="applier-off-accelerated",
            shape=replace(_AGED, environment=_AGED.environment + _ACCELERATED.environment),
            down=_AFTER,
        ),
    )
}


@contextmanager
def prepared(region: BenchRegion, row: RowSpec) -> Iterator[None]:
    """Take away what a row does without, until the block ends; its rung answers by then.

    Raises:
        OperatorError: it does not.
    """
    with ExitStack() as away:
        for part in row.down:
            away.enter_context(process_down(region.world, f"{region.name}/{part}"))
        for path in row.gone:
            away.enter_context(file_gone(region.published / path))
        _settle(region, row)
        yield


def _settle(region: BenchRegion, row: RowSpec) -> None:
    give_up_s = time.monotonic() + SETTLE_S
    while True:
        sent = region.serving.send(LOOK, connections=8)
        seen = rungs_of(sent)
        if seen.get(row.rung, 0.0) > MOST:
            return
        if time.monotonic() > give_up_s:
            raise OperatorError(
                f"row {row.name} is to be answered by {row.rung} but is by {seen}"
                f" (failures: {dict(sent.failures)})."
            )
