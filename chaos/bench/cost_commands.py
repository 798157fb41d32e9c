"""Commands of the README's tables: `sizes` measures for `cost`; `cost` and `page` make them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.command_line import HomeOption, JsonOption, print_json, print_said, progress
from app.errors import OperatorError

__all__ = ["cost", "page", "sizes"]


def sizes(
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Of sending.")] = 5.0,
    connections: Annotated[int, typer.Option(min=1, max=512, help="That are sent on.")] = 8,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Bytes of a decision (HTTP, journal, replicas, stores) and memory of what is kept of it.

    Starts a region of its own that reads as many stores as a region of the topology.
    """
    import msgspec

    from chaos.bench.region import bench_region
    from chaos.bench.rows import ROWS, prepared
    from chaos.bench.sizes import measure_sizes
    from chaos.target import settings_of

    row = ROWS["sources-3"]
    with progress(json=json) as report:
        report(0.0, "bringing a region up")
        with bench_region(home, row.shape, settings_of(home)) as region, prepared(region, row):
            report(0.5, "sending")
            found = measure_sizes(
                region, sources=row.shape.sources, seconds=seconds, connections=connections
            )
    print_said(msgspec.to_builtins(found), json=json)


def page(
    results: Annotated[
        Path, typer.Option(help="Folder with bench-{hot,calm,overload,deadlines,soak}.json.")
    ] = Path("docs/results"),
    write: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Page whose section `hot` to write.")
    ] = None,
) -> None:
    """What a decision costs, from kept results: tables in Markdown, printed or into a page."""
    from app.marked_section import write_section
    from chaos.bench.page import load_results, section

    body = section(load_results(results))
    if write is None:
        typer.echo(body)
    else:
        write_section(write, "hot", body)


def cost(
    rate: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Attempts a second of all regions, may be repeated; 28000, 45000, 120000."
        ),
    ] = None,
    results: Annotated[
        Path,
        typer.Option(help="Folder with bench-hot.json, bench-write-side.json, bench-sizes.json."),
    ] = Path("docs/results"),
    prices: Annotated[Path, typer.Option(help="Price file, assumptions among it.")] = Path(
        "terraform/prices.toml"
    ),
    write: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Page whose section `cost` to write.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """What the whole system costs for a traffic, with one region lost: machines and dollars.

    Measures nothing: takes what `bench hot`, `bench write-side` and `bench sizes` measured.
    """
    from app.features.reference import REFERENCE
    from app.marked_section import write_section
    from chaos.bench.cost import RATES, costs_of, fewer_ids, sources_of
    from chaos.bench.cost_store import kept_days
    from chaos.bench.cost_table import print_costs, section
    from chaos.bench.measured import load_measured
    from chaos.bench.prices import load_prices
    from regions.topology import TopologyError, load_topology

    listed = load_prices(prices)
    try:
        topology = load_topology()
    except TopologyError as error:
        raise OperatorError(f"{error}.") from None
    measured = load_measured(results, sources=sources_of(topology))
    costs, fewer = (
        costs_of(measured, each, topology, kept_days(REFERENCE), rates=rate or RATES)
        for each in (listed, fewer_ids(listed))
    )
    if write is not None:
        write_section(write, "cost", section(costs, fewer, measured, listed))
    if json:
        print_json(
            {"rows": costs, "measured": measured, "month": listed.month, "assumptions": listed.plan}
        )
    else:
        print_costs(costs, fewer, measured, listed)
