"""The listener's process: `python -m app.operations`."""

from __future__ import annotations

import logging

from app.operations.listener import serve
from app.settings import load

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    serve(load())
