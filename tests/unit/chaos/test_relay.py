"""A way on which questions arrive at once and answers late."""

from __future__ import annotations

import asyncio
import time

import pytest

from chaos.relay import late_answers

pytestmark = pytest.mark.enable_socket
