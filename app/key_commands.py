"""Commands of API keys: `keys add`, `keys list`, `keys revoke`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.command_line import HomeOption, JsonOption, print_json
from app.errors import OperatorError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="API keys; running scorers follow within a second.")


@app.command("add")
def add_key(
    tenant: Annotated[str, typer.Argument(help="Whose key it is; part of every counter's key.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="decide, outcome, label, read or operate, repeatable; decide by default."
        ),
    ] = None,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Make a key and print it: the only time it is seen."""
    from app.api.auth import Scope
    from app.api.auth import add_key as add

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", tenant):
        raise OperatorError("a tenant is 1 to 32 of a-z, 0-9, - and _.")
    try:
        scopes = [Scope(name) for name in scope or ["decide"]]
        key = add(home / "keys.json", tenant=tenant, scopes=scopes)
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    if json:
        print_json({"key": key, "tenant": tenant, "scopes": scopes})
    else:
        typer.echo(key)


@app.command("list")
def list_keys(home: HomeOption = Path(".stepdown"), json: JsonOption = False) -> None:
    """Show the keys in force, without their secrets."""
    from app.api.auth import kept_keys

    try:
        kept = kept_keys(home / "keys.json")
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    if json:
        print_json({"keys": [{"id": k.id, "tenant": k.tenant, "scopes": k.scopes} for k in kept]})
        return
    table = Table("id", "tenant", "scopes")
    for key in kept:
        table.add_row(key.id, key.tenant, ", ".join(key.scopes))
    Console().print(table)


@app.command("revoke")
def revoke_key(
    id: Annotated[str, typer.Argument(help="Of the key; see 'stepdown keys list'.")],
    home: HomeOption = Path(".stepdown"),
) -> None:
    """Take a key out of force."""
    from app.api.auth import revoke_key as revoke

    try:
        known = revoke(home / "keys.json", id)
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    if not known:
        raise OperatorError(f"there is no key {id!r}; see 'stepdown keys list'.")
    typer.echo(f"{id} is out of force within a second.")
