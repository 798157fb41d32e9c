"""A host with a journal."""

from __future__ import annotations

import pytest

from tests.unit.record.joiner.setting import Host


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    yield host
    host.close()
