"""Countries, their weights and their home regions, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.simulator.arrays import Floats, Ints
from app.simulator.config import SimulatorConfig

__all__ = ["Geography", "lay_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geography:
    """One row a country.

    Attributes:
        codes: ISO 3166-1 alpha-2.
        weight: share of the customers; adds up to 1.
        region: position of the home region in the configuration.
        utc_offset_h: hours from UTC to local time.
    """

    codes: tuple[str, ...]
    weight: Floats
    region: Ints
    utc_offset_h: Ints


def lay_out(config: SimulatorConfig) -> Geography:
    """Divide each region's weight over its home countries by the harmonic series."""
    weight: list[float] = []
    for mix in config.regions:
        harmonic = 1 / np.arange(1, len(mix.countries) + 1)
        weight.extend(mix.weight * harmonic / harmonic.sum())
    total = np.array(weight)
    sizes = [len(mix.countries) for mix in config.regions]
    return Geography(
        codes=tuple(code for mix in config.regions for code in mix.countries),
        weight=total / total.sum(),
        region=np.repeat(np.arange(len(sizes)), sizes),
        utc_offset_h=np.repeat([mix.utc_offset_h for mix in config.regions], sizes),
    )
