"""History on a ClickHouse server, over its HTTP interface: the same tables, the same SQL.

A file is loaded as a whole or not at all. Its rows go into `stored_<table>` with the name of this
very load; then one line in `loaded` says that this load counts; the views show the rows of the
newest load of each file only. So a load that was cut short is never seen, one that is repeated
changes nothing, and a file that has grown since replaces its rows at one moment.
"""

# ruff: noqa: S608 - statements are made of names of our own

from __future__ import annotations

import fcntl
import http.client
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlencode, urlsplit

from app.history.columns import DAY, TABLES, structure
from app.history.files import PARQUET, HistoryError
from app.history.query import (
    Params,
    history_folders,
    quoted,
    read_arrow,
    said_by_clickhouse,
    selecting,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Address", "ClickHouse", "Loaded"]

TIMEOUT_S = 300.0
_CONNECT: Mapping[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is.

    Attributes:
        scheme: http or https.
        host: its name.
        port: of the HTTP interface.
        user: empty for the default one.
        database: made by the first load.
    """

    scheme: str
    host: str
    port: int
    user: str
    database: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `http[s]://[user@]host:port/database`.

        Raises:
            HistoryError: it is none, or holds a password, which belongs in a file.
        """
        parts = urlsplit(url)
        database = parts.path.strip("/")
        try:
            port = parts.port
        except ValueError:  # not a number, or too large a one
            port = None
        if parts.password is not None:
            raise HistoryError("a password belongs in a file, not in ClickHouse's address.")
        if parts.scheme not in _CONNECT or not parts.hostname or not port:
            raise HistoryError(f"{url!r} is not http[s]://[user@]host:port/database.")
        if not database.isidentifier():
            raise HistoryError(f"{url!r} names no database: letters, digits and _ alone.")
        user = unquote(parts.username or "")
        return cls(
            scheme=parts.scheme, host=parts.hostname, port=port, user=user, database=database
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load did.

    Attributes:
        files: loaded now.
        rows: in them.
        unchanged: files that were on the server as they are.
    """

    files: int
    rows: int
    unchanged: int


class ClickHouse:
    """One server. Implements `app.history.query.Asked`."""

    def __init__(self, address: Address, *, password: str | None = None) -> None:
        """Use a server; nothing is asked of it yet."""
        self._address = address
        self._headers = {"X-ClickHouse-User": address.user} if address.user else {}
        if password is not None:
            self._headers["X-ClickHouse-Key"] = password

    def sql(
        self, query: str, params: Params | None = None, *, limit: int | None = None
    ) -> pa.Table:
        """The rows of one SELECT; see `Asked`."""
        given = {f"param_{name}": _escaped(value) for name, value in (params or {}).items()}
        # Without waiting for the end, an error behind the first rows would be part of the answer.
        settings = {"readonly": "1", "wait_end_of_query": "1", "default_format": "ArrowStream"}
        return read_arrow(self._post(selecting(query, limit).encode(), settings | given))

    def load(
        self, home: Path, *, regions: Sequence[str] = (), report: Callable[[str], None]
    ) -> Loaded:
        """Bring the server to what the files hold.

        Args:
            home: folder of all state.
            regions: to load; every one of the home by default.
            report: is told each file's name before it is loaded.

        Raises:
            HistoryError: the server is away or refuses, another load of a region is running, or
                a file is damaged.
        """
        self._make_tables()
        loaded: list[int] = []  # rows by file; none where it was there
        for folder in history_folders(home, regions):
            with _alone(folder):
                for table in TABLES:
                    known = self._known(table)
                    paths = sorted((folder / table).glob(f"{DAY}=*/*{PARQUET}"))
                    loaded += [self._bring(table, path, known, report) for path in paths]
        return Loaded(files=sum(map(bool, loaded)), rows=sum(loaded), unchanged=loaded.count(0))

    def _bring(
        self, table: str, path: Path, known: Mapping[str, int], report: Callable[[str], None]
    ) -> int:
        """Load one file, if the server does not have it as it is. Returns the rows loaded."""
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that the decision path never needs
        import pyarrow.parquet as pq  # noqa: PLC0415

        with path.open("rb") as file:  # it may be replaced meanwhile: rows and bytes are of one
            try:
                rows: int = pq.read_metadata(file).num_rows
            except pa.ArrowInvalid as error:
                raise HistoryError(f"{path} is damaged: {error}.") from None
            if known.get(path.name) == rows:
                return 0
            report(f"{table}/{path.name}")
            file.seek(0)
            self._load(table, path.name, file.read(), rows)
        return rows

    def _make_tables(self) -> None:
        database = self._address.database
        self._command(f"CREATE DATABASE IF NOT EXISTS {database}", within="default")
        self._command(
            "CREATE TABLE IF NOT EXISTS loaded (`table` LowCardinality(String), file String, "
            "rows UInt64, load String) ENGINE = MergeTree ORDER BY (`table`, file)"
        )
        for table, columns in TABLES.items():
            kept = structure({**columns, DAY: "Date", "load": "LowCardinality(String)"})
            names = ", ".join(f"`{name}`" for name in (*columns, DAY))
            self._command(
                f"CREATE TABLE IF NOT EXISTS stored_{table} ({kept}) ENGINE = MergeTree "
                f"PARTITION BY toYYYYMM({DAY}) ORDER BY (tenant, received_ms)"
            )
            added = (f"ADD COLUMN IF NOT EXISTS `{name}` {of}" for name, of in columns.items())
            self._command(f"ALTER TABLE stored_{table} {', '.join(added)}")
            self._command(
                f"CREATE OR REPLACE VIEW {table} AS SELECT {names} FROM stored_{table} "
                f"WHERE load IN ({_NEWEST.format(table=table)})"
            )

    def _known(self, table: str) -> dict[str, int]:
        """Rows by file, as loaded."""
        found = self.sql(f"SELECT file, max(rows) FROM loaded WHERE `table` = '{table}' GROUP BY 1")
        return dict(zip(found[0].to_pylist(), found[1].to_pylist(), strict=True))

    def _load(self, table: str, name: str, content: bytes, rows: int) -> None:
        columns = TABLES[table]
        names = ", ".join(f"`{column}`" for column in columns)
        load = f"{name}:{uuid.uuid4().hex}"
        day = "toDate(fromUnixTimestamp64Milli(received_ms, 'UTC'))"
        self._command(
            f"INSERT INTO stored_{table} ({names}, {DAY}, load) SELECT {names}, {day}, '{load}' "
            f"FROM input({quoted(structure(columns))}) FORMAT Parquet",
            body=content,
        )
        self._command(f"INSERT INTO loaded VALUES ('{table}', '{name}', {rows}, '{load}')")
        self._command(
            f"DELETE FROM stored_{table} WHERE startsWith(load, '{name}:') AND load != '{load}'"
        )

    def _command(self, sql: str, *, body: bytes = b"", within: str | None = None) -> None:
        self._post(body, {"query": sql, "wait_end_of_query": "1"}, within=within)

    def _post(
        self, body: bytes, settings: Mapping[str, str], *, within: str | None = None
    ) -> bytes:
        address = self._address
        query = urlencode({"database": within or address.database, **settings})
        connection = _CONNECT[address.scheme](address.host, address.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", f"/?{query}", body, self._headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise HistoryError(
                f"ClickHouse does not answer at {address.host}:{address.port} ({error})."
            ) from None
        finally:
            connection.close()
        if response.status != 200:
            raise HistoryError(said_by_clickhouse(content.decode("utf-8", "replace")))
        return content


# The loads that count: of a file that has grown, the one with the most rows.
_NEWEST = "SELECT argMax(load, rows) FROM loaded WHERE `table` = '{table}' GROUP BY file"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second load of the same files out: each would take the other's rows for old ones."""
    with (folder / "load.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HistoryError(f"another load of {folder} is running.") from None
        yield


def _escaped(value: str | float) -> str:
    """A parameter as the HTTP interface reads it."""
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
