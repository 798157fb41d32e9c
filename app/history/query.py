"""SQL over the Parquet files of history, in this process: chDB, which is ClickHouse's engine.

Importing chDB costs 258 MB, so this belongs to commands and training, never to a scorer.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from app.history.columns import DAY, TABLES, structure
from app.history.files import PARQUET, HistoryError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "COLUMNS",
    "Asked",
    "History",
    "Params",
    "history_folders",
    "quoted",
    "read_arrow",
    "said_by_clickhouse",
    "selecting",
]

THREADS = 2

Params = Mapping[str, str | int | float]

# What there is to ask about.
COLUMNS = """
    SELECT table, name, type FROM system.columns
    WHERE database = currentDatabase() AND table IN ('decisions', 'outcomes', 'labels', 'effects')
    ORDER BY indexOf(['decisions', 'outcomes', 'labels', 'effects'], table), position
"""


class Asked(Protocol):
    """Answers SQL over `decisions`, `outcomes`, `labels` and `effects`."""

    def sql(
        self, query: str, params: Params | None = None, *, limit: int | None = None
    ) -> pa.Table:
        """The rows of one SELECT.

        Args:
            query: ClickHouse's SQL; `{name:Type}` stands for a parameter.
            params: by name.
            limit: rows to return at most.

        Raises:
            HistoryError: the query is wrong, or cannot be answered now.
        """
        ...


class History:
    """The history below a home folder; each query sees the files that are there when it is asked.

    Read only: nothing that a query says writes, or reads another file. Implements `Asked`.
    """

    def __init__(self, home: Path, *, regions: Sequence[str] = (), threads: int = THREADS) -> None:
        """Open a history; without any files yet, its tables are empty.

        Args:
            home: folder of all state.
            regions: to look at; every one of the home by default.
            threads: that a query may use.

        Raises:
            HistoryError: chDB is not installed, or the folder's name means something to it.
        """
        self._globs = _globs(home, regions)
        try:
            from chdb import session  # noqa: PLC0415 - 258 MB, and half a second
        except ImportError:
            raise HistoryError("SQL needs chDB here: install stepdown[history].") from None
        # All sessions of a process share one engine, so each history has a database of its own.
        self._database = f"history_{uuid.uuid4().hex}"
        chdb: Any = session  # untyped
        self._owner, self._reader = chdb.Session(), chdb.Session()
        self._owner.query(f"CREATE DATABASE {self._database}")
        self._refresh()
        self._reader.query(f"USE {self._database}")
        self._reader.query(f"SET max_threads = {threads}, readonly = 1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what the engine holds."""
        self._reader.close()
        self._owner.query(f"DROP DATABASE {self._database}")
        self._owner.close()

    def sql(
        self, query: str, params: Params | None = None, *, limit: int | None = None
    ) -> pa.Table:
        """The rows of one SELECT; see `Asked`."""
        self._refresh()
        try:
            answer = self._reader.query(selecting(query, limit), "ArrowStream", params=params)
        except RuntimeError as error:  # of which chDB's own errors are
            raise HistoryError(said_by_clickhouse(str(error))) from None
        return read_arrow(answer.bytes())

    def _refresh(self) -> None:
        """Point the tables at the files of now: ClickHouse lists them when a table is made."""
        for table, columns in TABLES.items():
            self._owner.query(
                f"CREATE OR REPLACE TABLE {self._database}.{table} "
                f"({structure({**columns, DAY: 'Date'})}) "
                f"ENGINE = File(Parquet, {quoted(self._globs[table])})"
            )


def history_folders(home: Path, regions: Sequence[str] = ()) -> Iterator[Path]:
    """The history folders of some regions, or of all that have one.

    Raises:
        HistoryError: a region that was named has none.
    """
    for name in regions or sorted(path.parent.name for path in home.glob("*/history")):
        folder = home / name / "history"
        if not folder.is_dir():
            raise HistoryError(f"there is no history of {name} in {home}.")
        yield folder


def selecting(query: str, limit: int | None) -> str:
    """A SELECT that gives the rows of a query, and is none if the query is no single SELECT."""
    rows = f"\nLIMIT {limit}" if limit is not None else ""
    return f"SELECT * FROM (\n{query.strip().rstrip(';')}\n){rows}"  # noqa: S608 - the caller's own


def said_by_clickhouse(text: str) -> str:
    """ClickHouse's error as one sentence, without what only its developers need."""
    if at := re.search(r"Syntax error[^:]*: failed at position \d+ \((.*?)\)", text, re.DOTALL):
        return f"this is not one SELECT that ClickHouse understands; it stops at {at[1]!r}."
    said = text.rpartition("DB::Exception: ")[2]
    said = re.split(r"\. |: While |: while | \(version |\.? \([A-Z_]+\)|\n", said, maxsplit=1)[0]
    return f"ClickHouse says: {said.strip().rstrip('.')}."


def read_arrow(stream: bytes) -> pa.Table:
    """The table in an Arrow stream.

    Raises:
        HistoryError: it is none, so whoever sent it is not ClickHouse.
    """
    import pyarrow as pa  # noqa: PLC0415 - 60 MB, with chDB or a server only

    try:
        with pa.ipc.open_stream(stream) as reader:
            return reader.read_all()
    except pa.ArrowInvalid:
        raise HistoryError("what answers is not ClickHouse.") from None


def _globs(home: Path, regions: Sequence[str]) -> dict[str, str]:
    """The files of each table."""
    root = str(home.absolute())
    if set("*?{}") & set(root):
        raise HistoryError(f"{root} has one of * ? {{ }}, which ClickHouse takes for a pattern.")
    folders = [folder.parent.name for folder in history_folders(home, regions)]
    one_of = f"{{{','.join(folders)}}}" if regions else "*"
    return {table: f"{root}/{one_of}/history/{table}/{DAY}=*/*{PARQUET}" for table in TABLES}


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
