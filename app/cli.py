"""The command line: joins the commands that each package brings."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import entry_points

import typer

from app.errors import OperatorError

__all__ = ["main"]

GROUP = "stepdown.commands"


def build() -> typer.Typer:
    """The root command with every package's commands."""
    root = typer.Typer(
        name="stepdown",
        help="Checkout risk decisions that step down instead of going down.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: _ORDER.index(entry.name)):
        package: typer.Typer = entry.load()
        root.registered_commands += package.registered_commands
        root.registered_groups += package.registered_groups
    return root


_ORDER = ["regions", "app", "features", "record", "history", "chaos"]


def main() -> None:
    """Run the command line. What the operator can put right is one sentence and exit code 2."""
    # What a command took away it gives back, however it is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        build()()
    except OperatorError as error:
        typer.secho(f"stepdown: {error}", err=True, fg=typer.colors.RED)
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.exit(0)
