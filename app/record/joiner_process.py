"""The joiner's process: follows its host's journals, or its region's stream, until told to stop."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import time
from functools import partial
from types import FrameType

import lmdb

from app.errors import OperatorError
from app.record.attempt_index import AttemptIndex
from app.record.joiner import BATCH_RECORDS_MAX, Bounds, Joiner
from app.record.journal import JournalUnavailable, open_journal
from app.record.signing import ensure_signing_key
from app.settings import ScorerSettings, load
from app.streams.choice import followed
from app.streams.interface import StreamError
from app.telemetry import Pusher, Telemetry
from regions.topology import load_topology

__all__ = ["run"]

LINGER_S = 0.05  # an fsync a batch: so many are worth it
RETRY_S = 0.5
PUSH_S = 1.0
# On a region's stream a follow-up may come long before its decision: as long as the shipper of the
# decision's host has a backlog. Waiting costs a few hundred bytes, and `waiting_max` bounds it.
STREAM_WAIT_MS = 3_600_000

log = logging.getLogger(__name__)


class _Work:
    """The joiner, resumed after every error."""

    def __init__(self, joiner: Joiner) -> None:
        self._joiner = joiner
        self._resumed = False

    def step(self) -> int:
        """Join one batch; how many records it had. What is away is waited for."""
        try:
            if not self._resumed:
                self._joiner.resume()
                self._resumed = True
            return self._joiner.step()
        except (JournalUnavailable, StreamError, OSError, lmdb.Error) as error:
            log.warning("%s; going on from the last commit", error)
            self._resumed = False
            time.sleep(RETRY_S)
            return 0


def run(settings: ScorerSettings, bounds: Bounds) -> None:
    """Join until told to stop.

    Raises:
        OperatorError: another joiner is at work, or the index cannot be opened.
    """
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    telemetry = Telemetry(role="joiner")
    joiner = _make(settings, bounds, telemetry)
    pusher = Pusher(settings.api_host, settings.operations_port, telemetry)
    push_at_s = time.monotonic()
    with contextlib.closing(pusher), contextlib.closing(joiner):
        work = _Work(joiner)
        while not stopping:
            taken = work.step()
            if time.monotonic() >= push_at_s:
                push_at_s = time.monotonic() + PUSH_S
                pusher.send(joiner.gauges)
            if taken < BATCH_RECORDS_MAX:
                time.sleep(LINGER_S)


def _make(settings: ScorerSettings, bounds: Bounds, telemetry: Telemetry) -> Joiner:
    region = load_topology().region(settings.region).number
    return Joiner(
        followed(settings),
        AttemptIndex(settings.region_folder / "joiner"),
        folder=settings.journal,
        journal=partial(
            open_journal,
            settings.journal,
            region=region,
            host=settings.host_number(),
            signer=ensure_signing_key(settings.home / "secrets" / "journal-key"),
            fsync_ms=settings.fsync_ms,
            segment_bytes=settings.journal_segment_bytes,
            bytes_max=settings.journal_bytes_max,
        ),
        region=region,
        telemetry=telemetry,
        now_ms=lambda: time.time_ns() // 1_000_000,
        bounds=bounds,
    )


def _bounds(settings: ScorerSettings) -> Bounds:
    standard = Bounds() if settings.follow == "journals" else Bounds(wait_ms=STREAM_WAIT_MS)
    parser = argparse.ArgumentParser(description="Join outcomes and labels with their decisions.")
    for name, default, text in (
        ("--join-days", standard.join_days, "how long an attempt is remembered"),
        ("--attempts-max", standard.attempts_max, "how many attempts are remembered"),
        ("--wait-ms", standard.wait_ms, "how long a follow-up waits for its decision"),
    ):
        parser.add_argument(name, type=_above_zero, default=default, help=text)
    return Bounds(**vars(parser.parse_args()))


def _above_zero(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a whole number above zero")
    return int(text)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = load()
        run(settings, _bounds(settings))
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
