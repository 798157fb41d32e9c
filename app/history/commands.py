"""Commands of history: `history "SELECT ..."`, `history load`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from app.errors import OperatorError
from app.features.backfill_commands import import_

if TYPE_CHECKING:
    from app.history.clickhouse import ClickHouse
    from app.history.query import Asked

__all__ = ["app"]


class _SqlUnlessNamed(TyperGroup):
    """`history "SELECT ..."` is `history sql "SELECT ..."`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["sql", *args])


app = typer.Typer()
history = typer.Typer(
    cls=_SqlUnlessNamed,
    help="Ask history in SQL: decisions, outcomes, labels and effects.",
)
app.add_typer(history, name="history")
history.command("import")(import_)

HomeOption = Annotated[
    Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder of all state and logs.")
]
RegionOption = Annotated[
    list[str] | None, typer.Option(help="Region, repeatable; every region of HOME by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
ClickHouseOption = Annotated[
    str | None,
    typer.Option(
        envvar="STEPDOWN_CLICKHOUSE_URL",
        help="Server, as http://user@host:8123/database. Without one, SQL is answered here.",
    ),
]
PasswordOption = Annotated[
    Path | None,
    typer.Option(envvar="STEPDOWN_CLICKHOUSE_PASSWORD_FILE", help="File with its password."),
]


@history.command()
def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="One SELECT, as ClickHouse has it; without it, what can be asked."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show at most.")] = 1_000,
    home: HomeOption = Path(".stepdown"),
    region: RegionOption = None,
    clickhouse: ClickHouseOption = None,
    clickhouse_password_file: PasswordOption = None,
    json: JsonOption = False,
) -> None:
    """Answer one SELECT over decisions, outcomes, labels and effects."""
    from app.history.query import COLUMNS

    with _asked(home, region or [], clickhouse, clickhouse_password_file) as asked:
        answer = asked.sql(query or COLUMNS, limit=limit + 1)
    more = len(answer) > limit
    try:
        rows = answer.slice(0, limit).to_pylist(maps_as_pydicts="lossy")
    except UnicodeDecodeError:
        raise OperatorError("the answer has bytes that are no text; show them by hex().") from None
    if json:
        _print_json({"columns": answer.column_names, "rows": rows, "more": more})
        return
    table = Table(*map(escape, answer.column_names))
    for row in rows:
        table.add_row(*(escape(_shown(value)) for value in row.values()))
    console = Console()
    console.print(table)
    if more:
        console.print(f"[dim]the first {limit:,} rows; --limit shows more")


@history.command()
def load(
    clickhouse: ClickHouseOption = None,
    clickhouse_password_file: PasswordOption = None,
    home: HomeOption = Path(".stepdown"),
    region: RegionOption = None,
    json: JsonOption = False,
) -> None:
    """Bring a ClickHouse server to what the files hold; loading again doubles nothing."""
    if clickhouse is None:
        raise OperatorError("give the server to load: --clickhouse or STEPDOWN_CLICKHOUSE_URL.")
    server = _server(clickhouse, clickhouse_password_file)
    with Console(stderr=True).status("loading") as status:
        loaded = server.load(home, regions=region or [], report=status.update)
    if json:
        _print_json(msgspec.to_builtins(loaded))
    else:
        typer.echo(f"{loaded.files:,} files with {loaded.rows:,} rows loaded", nl=False)
        typer.echo(f"; {loaded.unchanged:,} were there as they are")


@contextmanager
def _asked(
    home: Path, regions: list[str], clickhouse: str | None, password_file: Path | None
) -> Iterator[Asked]:
    from app.history.query import History

    if clickhouse is None:
        with History(home, regions=regions) as here:
            yield here
    elif regions:
        raise OperatorError("a server has all regions; ask it WHERE region = ...")
    else:
        yield _server(clickhouse, password_file)


def _server(url: str, password_file: Path | None) -> ClickHouse:
    from app.history.clickhouse import Address, ClickHouse

    password = None
    if password_file is not None:
        try:
            password = password_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise OperatorError(f"{password_file} cannot be read: {error}.") from None
    return ClickHouse(Address.parse(url), password=password)


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.6g}"
        case str() | int():
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()


def _print_json(what: Mapping[str, Any]) -> None:
    typer.echo(msgspec.json.encode(what).decode())
