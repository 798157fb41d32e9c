"""A decider to decide with."""

from __future__ import annotations

import pytest

from tests.unit.app.decide.setting import Pipeline


@pytest.fixture
def pipeline():
    return Pipeline()
