"""Commands that break things on purpose."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer()
