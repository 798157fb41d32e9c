"""The merchant directory from a table: `features merchants`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from app.errors import OperatorError
from app.registry import DEMO_TENANT, Registry

if TYPE_CHECKING:
    import pyarrow as pa

    from app.features.directory import MerchantEntry

__all__ = ["merchants"]

REQUIRED = ("merchant_id", "tier", "category", "country")
THRESHOLDS = ("step_up", "decline")
NAMED = ("lists", "exemptions")


def merchants(
    table: Annotated[Path, typer.Argument(help="Parquet or CSV, one merchant a row.")],
    region: Annotated[
        list[str] | None,
        typer.Option(help="Region to publish in, repeatable; every region of HOME by default."),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose merchants.")] = DEMO_TENANT,
    home: Annotated[
        Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder of all state and logs.")
    ] = Path(".stepdown"),
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Publish a merchant directory, signed: tier, category, country, thresholds, lists, exemptions.

    Columns: merchant_id, tier, category, country; and if there are any step_up, decline (the
    merchant's own thresholds, 0 to 1), lists, exemptions (names with spaces between them). Running
    scorers follow within a second; a region where it comes to grief can be rolled back.
    """
    from app.features.directory import publish_directory
    from app.publish import adopt, prune
    from app.record.signing import Keyring, ensure_signing_key

    registry = Registry(home)
    entries = list(_entries(_read(table), table))
    signer = ensure_signing_key(registry.publisher_key)
    Keyring(registry.trusted_keys).add(signer.public_key)
    folders = sorted(home.glob("*/published"))
    if region:
        folders = [home / name / "published" for name in region]
    source = registry.folder / "merchants"
    version = publish_directory(
        source,
        tenant=tenant,
        merchants=entries,
        number=time.time_ns() // 1_000_000,
        signer=signer,
    )
    for folder in folders:
        adopt(source, folder / "merchants")
    for folder in (source, *(folder / "merchants" for folder in folders)):
        prune(folder)
    said = {
        "version": version,
        "merchants": len(entries),
        "published": [str(folder) for folder in folders],
    }
    if json:
        typer.echo(msgspec.json.encode(said).decode())
    else:
        typer.echo(f"{len(entries):,} merchants published as {version} in {len(folders)} regions")


def _read(path: Path) -> pa.Table:
    """The table, all columns as they are in Parquet, as text in CSV.

    Raises:
        OperatorError: it cannot be read, or a column is missing.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if path.suffix == ".csv":
            table = pyarrow.csv.read_csv(path)
        else:
            table = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise OperatorError(f"{path} cannot be read: {error}.") from None
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        raise OperatorError(f"{path} has no column {missing[0]!r}.")
    return table


def _entries(table: pa.Table, path: Path) -> Iterator[tuple[str, MerchantEntry]]:
    """The merchants.

    Raises:
        OperatorError: a row is not a merchant.
    """
    known = [name for name in (*REQUIRED, *THRESHOLDS, *NAMED) if name in table.column_names]
    number = 0
    for batch in table.select(known).to_batches():
        for row in batch.to_pylist():
            number += 1
            try:
                yield str(row["merchant_id"]), _entry(row)
            except ValueError as error:
                raise OperatorError(f"{path}, row {number}: {error}.") from None


def _entry(row: dict[str, Any]) -> MerchantEntry:
    from app.features.directory import MerchantEntry
    from app.policy import Overrides

    for name in REQUIRED:
        if row[name] in {None, ""}:
            raise ValueError(f"{name} is missing")
    own = {name: float(row[name]) for name in THRESHOLDS if row.get(name) is not None}
    return MerchantEntry(
        tier=str(row["tier"]),
        category=str(row["category"]),
        country=str(row["country"]),
        thresholds=Overrides(**own) if own else None,
        lists=tuple((row.get("lists") or "").split()),
        exemptions=tuple((row.get("exemptions") or "").split()),
    )
