"""Commands of the scorer and its models, put together in the order that `--help` shows."""

from __future__ import annotations

import typer

from app.decide_commands import decide
from app.key_commands import app as keys
from app.model_commands import app as models
from app.price_commands import prices
from app.simulate_commands import simulate
from app.training_commands import evaluate, train

__all__ = ["app"]

app = typer.Typer()
app.add_typer(keys, name="keys")
app.add_typer(models, name="models")
for command in (prices, decide, simulate, train, evaluate):
    app.command()(command)
