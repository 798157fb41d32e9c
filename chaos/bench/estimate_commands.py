"""The command that prices a region's plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.command_line import JsonOption, print_json, print_said

__all__ = ["estimate"]


def estimate(
    nodes: Annotated[
        Path, typer.Argument(help="What 'terraform output -json nodes' of the region printed.")
    ],
    region: Annotated[str, typer.Option(help="Of the plan.")],
    copies: Annotated[
        int, typer.Option(min=0, help="Nodes of other regions' copies: output copy_nodes of mesh.")
    ] = 0,
    prices: Annotated[Path, typer.Option(help="Price file.")] = Path("terraform/prices.toml"),
    json: JsonOption = False,
) -> None:
    """What the machines of one region's Terraform plan cost a month, without any traffic."""
    from chaos.bench.estimate import estimate_of, load_nodes
    from chaos.bench.prices import load_prices

    found = estimate_of(load_nodes(nodes), copies=copies, region=region, prices=load_prices(prices))
    if json:
        print_json(found)
        return
    dollars = {part: f"{amount:,.0f}" for part, amount in found.dollars.items()}
    print_said({**dollars, "dollars a month": f"{found.total:,.0f}"}, json=False)
