"""The historian's process: on its host's journals, or its region's stream, until told to stop."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from app.errors import OperatorError
from app.history.files import HistoryError, HistoryFiles
from app.history.historian import BATCH_RECORDS_MAX, Historian
from app.settings import ScorerSettings, load
from app.streams.choice import followed
from app.streams.interface import StreamError

__all__ = ["run"]

ROWS_MAX = 50_000
LINGER_S = 30.0
RETRY_S = 1.0

log = logging.getLogger(__name__)


def run(settings: ScorerSettings, *, rows_max: int = ROWS_MAX, linger_s: float = LINGER_S) -> None:
    """Keep history until told to stop; a disk that takes nothing is waited for.

    Raises:
        HistoryError: another historian is at work, or what the files hold is not known.
    """
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    folder = settings.region_folder / "history"
    lock = _locked(folder)
    historian = Historian(
        followed(settings),
        HistoryFiles(folder, rows_max=rows_max),
        monotonic=time.monotonic,
        rows_max=rows_max,
        linger_s=linger_s,
    )
    try:
        _follow(historian, stopping, poll_s=settings.poll_s)
    finally:
        os.close(lock)


def _follow(historian: Historian, stopping: list[int], *, poll_s: float) -> None:
    fresh = False
    while not stopping:
        try:
            if not fresh:
                historian.resume()
                fresh = True
            taken = historian.step()
        except (StreamError, OSError) as error:
            log.warning("%s; going on from the checkpoint", error)
            fresh = False
            time.sleep(RETRY_S)
        else:
            if taken < BATCH_RECORDS_MAX:
                time.sleep(poll_s)
    try:
        historian.flush()
    except OSError as error:
        log.warning("%s; what was not flushed is taken again at the next start", error)


def _locked(folder: Path) -> int:
    """Take the folder for as long as this process lives: two would write every event twice."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise HistoryError(f"another historian writes {folder}.") from None
    return lock


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Keep history as Parquet.")
    parser.add_argument("--rows", type=int, default=ROWS_MAX, help="of a file, at most")
    parser.add_argument(
        "--linger", type=float, default=LINGER_S, help="seconds that a row waits for others"
    )
    given = parser.parse_args()
    if given.rows < 1 or given.linger < 0:
        parser.error("--rows is 1 or more, --linger 0 or more")
    return given


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = _arguments()
    try:
        run(load(), rows_max=arguments.rows, linger_s=arguments.linger)
    except OperatorError as error:
        print(f"historian: {error}", file=sys.stderr)  # noqa: T201 - to whoever started it
        sys.exit(2)
