"""The command `simulate`: payment attempts to train and try things on."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from app.command_line import HomeOption, JsonOption, print_said, progress
from app.errors import OperatorError

__all__ = ["simulate"]


def simulate(
    attempts: Annotated[int, typer.Option(min=1_000, help="About how many.")] = 1_000_000,
    days: Annotated[int, typer.Option(min=1, help="Over how many days.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same attempts.")] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; HOME/data by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a simulation that is there.")] = False,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="Share of a pattern in the fraud, repeatable; the others keep their proportions.",
        ),
    ] = None,
    fraud_share: Annotated[
        float, typer.Option(min=0, max=0.2, help="Share of fraud in the attempts.")
    ] = 0.004,
    newcomers: Annotated[
        bool,
        typer.Option(
            "--newcomers",
            help="Fraud reaches merchants and customers that were not there on the first day, and "
            "issuers launch number ranges.",
        ),
    ] = False,
    new_pattern_from: Annotated[
        int | None,
        typer.Option(
            metavar="DAY", help="Day, counted from 1, on which an unknown pattern begins."
        ),
    ] = None,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Simulate payment attempts with fraud, outcomes and late labels, as Parquet."""
    from app.simulator.config import PatternMix, SimulatorConfig
    from app.simulator.generate import simulate as run

    folder = out or home / "data"
    if overwrite and (folder / "manifest.json").exists():
        shutil.rmtree(folder)
    started_s = time.monotonic()
    try:
        config = SimulatorConfig(
            seed=seed,
            days=days,
            attempts=attempts,
            patterns=PatternMix().with_shares(_shares(pattern or [])),
            new_pattern_from=new_pattern_from,
            fraud_share=fraud_share,
            newcomers=newcomers,
        )
        with progress(json=json) as report:
            summary = run(config, folder, progress=report)
    except FileExistsError:
        raise OperatorError(f"{folder} is not empty; add --overwrite, or choose --out.") from None
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    said = {
        "folder": str(summary.folder),
        "attempts": summary.attempts,
        "fraud_rate": summary.fraud_rate,
        "fraud": summary.fraud,
        "labels": summary.labels,
        "outcomes": summary.outcomes,
        "merchants": summary.merchants,
        "took_s": round(time.monotonic() - started_s, 1),
    }
    print_said(said, json=json)


def _shares(said: list[str]) -> dict[str, float]:
    """Shares by pattern, from NAME=SHARE."""
    shares = {}
    for one in said:
        name, _, share = one.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise OperatorError(f"{one!r} is not NAME=SHARE, as in card_testing=0.3.") from None
    return shares
