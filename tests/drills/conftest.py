"""Drills break one service, one after the other; each leaves it as it found it."""

import pytest


@pytest.fixture(scope="session")
def drilled(services):
    with services() as running:
        yield running
