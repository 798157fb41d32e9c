"""Names of the feature sets, for command lines: the sets themselves take a while to import."""

from __future__ import annotations

import enum

__all__ = ["FeatureSetName"]


class FeatureSetName(enum.StrEnum):
    """Feature sets of this release; a test holds them to `app.features.sets`."""

    REFERENCE = "reference"
    WIDE = "wide"
