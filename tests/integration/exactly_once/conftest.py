"""The traffic of a region."""

from __future__ import annotations

import pytest

from tests.integration.exactly_once.setting import Traffic


@pytest.fixture
def traffic_on(tmp_path):
    """Makes the traffic of a region, published on a stream or not."""
    made = []

    def make(stream=None):
        made.append(Traffic(tmp_path / "home" / "us-east-1" / "journal", stream))
        return made[-1]

    yield make
    for traffic in made:
        traffic.close()
