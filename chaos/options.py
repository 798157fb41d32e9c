"""Options that commands of drills share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["LAG_MAX", "STOLEN_MAX", "LagMaxOption", "StolenMaxOption"]

# As `chaos.engine.verdict.STRICT` has them, without the imports.
LAG_MAX, STOLEN_MAX = 5.0, 0.1

LagMaxOption = Annotated[
    float, typer.Option(min=0.1, help="Of the generator at p99.9, ms; beyond it a run is void.")
]
StolenMaxOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Of the processor time wanted, given to others by the host of this virtual machine; "
        "beyond it a run is void.",
    ),
]
