"""What is built from history every night: `features snapshot`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.command_line import print_said, progress
from app.errors import OperatorError
from app.features.names import FeatureSetName
from app.publish import adopt, prune
from app.registry import DEMO_TENANT, Registry

if TYPE_CHECKING:
    from app.features.snapshot_build import BuiltSnapshot

__all__ = ["snapshot"]


def snapshot(
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Day, UTC, at whose start the values stand; today's."
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(help="Region to publish in, repeatable; every region of HOME by default."),
    ] = None,
    rows_max: Annotated[
        int | None,
        typer.Option(min=1, help="Of a kind, the entities seen last that stay; all by default."),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose entities.")] = DEMO_TENANT,
    features: Annotated[
        FeatureSetName,
        typer.Option(envvar="STEPDOWN_FEATURES", help="Feature set that the scorers read."),
    ] = FeatureSetName.REFERENCE,
    home: Annotated[
        Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder of all state and logs.")
    ] = Path(".stepdown"),
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Build the snapshot and the hot list of last midnight from the history, and publish them.

    To be run every day; running it again builds the same again. Running scorers follow within a
    second.
    """
    started_s = time.monotonic()
    registry = Registry(home)
    folders = _published(home, region or [])
    as_of_ms = _midnight_ms(as_of)
    with progress(json=json) as report:
        built, hot = _build(
            registry, features, tenant=tenant, as_of_ms=as_of_ms, rows_max=rows_max, report=report
        )
        for folder in folders:
            adopt(registry.folder / "snapshot", folder / "snapshot")
        for folder in (registry.folder, *folders):
            prune(folder / "snapshot")
    _write_lists([registry.hot_merchants, *map(_hot_merchants, folders)], hot)
    version = registry.folder / "snapshot" / "versions" / built.version
    said = {
        "version": built.version,
        "as_of": datetime.fromtimestamp(as_of_ms / 1_000, UTC).isoformat(),
        "rows": built.rows,
        "left_out": built.left_out,
        "bytes": sum(path.stat().st_size for path in version.iterdir()),
        "hot_merchants": len(hot),
        "published": [str(folder) for folder in folders],
        "took_s": round(time.monotonic() - started_s, 1),
    }
    print_said(said, json=json)


def _build(
    registry: Registry,
    features: str,
    *,
    tenant: str,
    as_of_ms: int,
    rows_max: int | None,
    report: Callable[[float, str], None],
) -> tuple[BuiltSnapshot, list[str]]:
    """Publish the snapshot in the registry; the hot merchants of the same midnight."""
    from app.features.hot_lists import hot_merchants
    from app.features.sets import feature_set
    from app.features.snapshot_build import EventsBefore, build_snapshot
    from app.history.query import History

    with History(registry.home) as history:
        events = EventsBefore(history=history, tenant=tenant, as_of_ms=as_of_ms)
        built = build_snapshot(
            events,
            feature_set(features),
            registry.folder / "snapshot",
            rows_max=rows_max,
            report=lambda done, what: report(0.95 * done, what),
        )
        report(0.95, "hot merchants")
        return built, hot_merchants(events, feature_set(features))


def _midnight_ms(day: datetime | None) -> int:
    """The start of a day, UTC, or of today, ms since the epoch.

    Raises:
        OperatorError: it is still to come: what is published must not be of a future.
    """
    now = datetime.now(UTC)
    midnight = (day or now).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    if midnight > now:
        raise OperatorError(f"{midnight.date()} has not begun yet, UTC.")
    return round(midnight.timestamp() * 1_000)


def _published(home: Path, regions: list[str]) -> list[Path]:
    """Where the regions publish.

    Raises:
        OperatorError: a region that was named does not.
    """
    for name in regions:
        if not (home / name / "published").is_dir():
            raise OperatorError(f"nothing is published in a region {name} of {home}.")
    if regions:
        return [home / name / "published" for name in regions]
    return sorted(home.glob("*/published"))


def _hot_merchants(published: Path) -> Path:
    return published / "rules" / "lists" / "hot_merchants.txt"


def _write_lists(paths: list[Path], ids: list[str]) -> None:
    from app.features.hot_lists import write_list

    for path in paths:
        try:
            write_list(path, ids)
        except OSError as error:
            raise OperatorError(f"{path} cannot be written: {error.strerror}.") from None
