"""The drills on truth across regions, as 'stepdown drill run' has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from app.command_line import print_json, progress
from app.errors import OperatorError
from app.registry import Registry
from app.samples import load_samples
from chaos.brake_bound import bound_of, card_limit
from chaos.burst import run_burst
from chaos.faults import file_gone
from chaos.partition import cut_off, cut_off_links, run_partition
from chaos.spread import Place
from chaos.target import Target
from chaos.truth_table import agreement_said, attack_table, burst_table, twice_table
from chaos.twice import run_twice
from regions.world.toxiproxy import ToxiproxyError

__all__ = ["models_withdrawn", "run_truth"]


def run_truth(
    name: str, target: Target, home: Path, rate: float, hold_s: float | None, *, json: bool
) -> bool:
    """Run one of them; whether it passed.

    Args:
        name: of the drill.
        target: what runs.
        home: folder of all state.
        rate: attempts a second to each region.
        hold_s: how long; the drill's own by default.
        json: print one JSON object and nothing else.

    Raises:
        OperatorError: what runs is not enough for the drill.
    """
    places = target.places()
    if len(places) < 2:
        raise OperatorError(f"the drill {name!r} needs two regions at least; one runs.")
    common: dict[str, Any] = {
        "key": Registry(home).dev_key.read_text("ascii").strip(),
        "template": load_samples(home)[0].body,
    }
    rules = home / places[0].region / "published" / "rules" / "rules.yaml"
    try:
        match name:
            case "partition":
                limit = card_limit(rules)
                return _partition(target, home, places, common, limit, rate, hold_s, json)
            case "twice":
                return _twice(home, places, common, rate, hold_s, json)
            case _:
                return _burst(home, places, common, card_limit(rules), json)
    except ToxiproxyError as error:
        raise OperatorError(f"{error}.") from None


def _partition(
    target: Target,
    home: Path,
    places: Sequence[Place],
    common: dict[str, Any],
    limit: int,
    rate: float,
    hold_s: float | None,
    json: bool,
) -> bool:
    plan, pair = target.plan(), [place.region for place in places[:2]]
    cut_off_links(plan, *pair)  # said at once, not in the middle
    workers = places[0].settings.workers
    with progress(json=json) as report:
        found = asyncio.run(
            run_partition(
                places,
                cut_off(plan, *pair),
                models_withdrawn(home, pair),
                **common,
                brake=bound_of(limit, workers=workers, regions=len(pair)),
                rate=rate,
                hold_s=hold_s or 60.0,
                report=report,
            )
        )
    said = f"{found.attempts:,} attempts; after the healing {agreement_said(found.agreement)}"
    return _said(found, found.passed, attack_table(found.attacks), said, json)


def _twice(
    home: Path,
    places: Sequence[Place],
    common: dict[str, Any],
    rate: float,
    hold_s: float | None,
    json: bool,
) -> bool:
    with progress(json=json) as report:
        found = asyncio.run(
            run_twice(places, **common, home=home, rate=rate, hold_s=hold_s or 10.0, report=report)
        )
    return _said(found, found.passed, twice_table(found), agreement_said(found.agreement), json)


def _burst(
    home: Path,
    places: Sequence[Place],
    common: dict[str, Any],
    limit: int,
    json: bool,
) -> bool:
    with progress(json=json) as report:
        found = asyncio.run(
            run_burst(
                places,
                models_withdrawn(home, [place.region for place in places]),
                **common,
                limit=limit,
                rounds=3,
                report=report,
            )
        )
    said = f"a worker's brake stops a card at {found.limit} attempts; {found.workers} workers each"
    return _said(found, found.passed, burst_table(found.bursts), said, json)


@contextmanager
def models_withdrawn(home: Path, regions: Sequence[str]) -> Iterator[None]:
    """The models of some regions are not there, so that rules decide.

    Args:
        home: folder of all state.
        regions: by name.
    """
    with ExitStack() as gone:
        for region in regions:
            gone.enter_context(file_gone(home / region / "published" / "model" / "current"))
        yield


def _said(found: object, passed: bool, table: Table, said: str, json: bool) -> bool:
    if json:
        print_json({**msgspec.to_builtins(found), "passed": passed})
        return passed
    console = Console()
    console.print(table)
    console.print(f"{said}: {'[green]passed[/]' if passed else '[red]FAILED[/]'}")
    return passed
