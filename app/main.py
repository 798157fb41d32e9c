"""The scorer's ASGI app, as gunicorn loads it: `app.main:app`."""

from __future__ import annotations

import logging
import sys

from app.settings import ConfigurationError, load
from app.wiring.scorer import Scorer

__all__ = ["app"]

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(process)d %(message)s")

try:
    _settings = load()
except ConfigurationError as error:
    sys.exit(f"stepdown: {error}")

logging.getLogger(__name__).info("settings: %s", _settings)

# Built on import, so that a worker that cannot start says why before it takes a request.
app = Scorer(_settings).app()
