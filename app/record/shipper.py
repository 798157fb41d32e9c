"""The shipper: one a host, between the journals and everything that is elsewhere.

    journals  >  stream          at least once, each writer's events in order
              >  object storage  closed, sealed segments, written once
              >  anchors         the heads of the chains, every second

Nothing of it is on the way of a decision. What is down leaves a backlog, in the journals alone,
which shows in the region's metrics and drains when it is back.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
import time
from functools import partial
from types import FrameType

from app.record.anchor import Anchorer, AnchorSink, FolderAnchors
from app.record.archiving import Archiving
from app.record.backlog import Backlog, backlog_of
from app.record.checkpoint import load_checkpoint, save_checkpoint
from app.record.object_store import (
    FolderObjects,
    ObjectConflict,
    ObjectStore,
    ObjectStoreUnavailable,
)
from app.record.publishing import BATCH_EVENTS_MAX, Publishing
from app.record.ring_file import all_written_before_ms
from app.record.target import Target, TargetDown
from app.settings import S3Address, ScorerSettings, load
from app.streams.choice import publisher_of
from app.streams.interface import StreamTailLost, StreamUnavailable
from app.streams.journal_tail import JournalTail
from app.telemetry import Gauges, Pusher, Telemetry
from fallback.clock import SystemClock
from regions.topology import load_topology

__all__ = ["Shipper", "anchors_of", "object_store_of", "run"]

LOOK_S = 1.0
# Longest wait of a call to the stream and this are below the 3 s that a stop may take.
ARCHIVING_STOP_S = 0.5
WAIT_S = 0.2  # before a stream that is down is tried again

log = logging.getLogger(__name__)


class Shipper:
    """All of it for one region on one host, each in a thread of its own, and what they tell."""

    def __init__(self, settings: ScorerSettings) -> None:
        self._stopping = False  # set by a signal handler, which must take no lock
        self._stopped = threading.Event()
        self._settings = settings
        self._region = load_topology().region(settings.region).number
        self._checkpoint = settings.shipper / "checkpoint.json"
        checkpoint = load_checkpoint(self._checkpoint)
        self._stream = Target("shipper:stream", down=StreamUnavailable, answers=(StreamTailLost,))
        self._storage = Target(
            "shipper:object-storage", down=ObjectStoreUnavailable, answers=(ObjectConflict,)
        )
        self._publishing = Publishing(
            JournalTail(settings.journal),
            publisher_of(settings, checkpoint.positions),
            self._stream,
            checkpoint,
            region=self._region,
            clock=SystemClock(),
            journaled_ms=partial(all_written_before_ms, settings.journal),
        )
        self._archiving = Archiving(
            settings.journal,
            object_store_of(settings),
            self._storage,
            region=settings.region,
            published=lambda: self._publishing.checkpoint.positions,
            manifest=settings.shipper / "manifest.jsonl",
            now_ms=_now_ms,
        )
        self._anchorer = Anchorer(settings.journal, anchors_of(settings), now_ms=_now_ms)
        self._anchored_s = time.monotonic()
        self._telemetry = Telemetry(role="shipper")

    def run(self) -> None:
        """Ship until stopped; the batch under way is finished, and the place kept."""
        archiving = threading.Thread(target=self._archive, name="archiving", daemon=True)
        anchoring = threading.Thread(target=self._anchor, name="anchoring", daemon=True)
        archiving.start()
        anchoring.start()
        settings = self._settings
        pusher = Pusher(settings.api_host, settings.operations_port, self._telemetry)
        with contextlib.closing(pusher):
            look_at_s = time.monotonic()
            while not self._stopping:
                self._publish()
                if time.monotonic() >= look_at_s:
                    look_at_s = time.monotonic() + LOOK_S
                    self._keep_place()
                    pusher.send(self.gauges)
        self._stopped.set()
        archiving.join(ARCHIVING_STOP_S)
        self._keep_place()

    def stop(self) -> None:
        """End `run`, soon. May be called by a signal handler."""
        self._stopping = True

    def gauges(self) -> Gauges:
        """How things stand."""
        self._telemetry.counters["shipper_events"] = self._publishing.events
        self._telemetry.counters["shipper_segments"] = self._archiving.shipped
        for target in (self._stream, self._storage):
            self._telemetry.counters[f"shipper_failures\0{target.name}"] = target.failures
        backlog = self._backlog()
        left = self._archiving.left
        return Gauges(
            breakers={target.name: target.state for target in (self._stream, self._storage)},
            numbers={
                "shipper_backlog_events": backlog.events,
                "shipper_backlog_bytes": backlog.bytes,
                "shipper_backlog_seconds": self._publishing.behind_s,
                "shipper_waiting_segments": self._archiving.waiting,
                "shipper_waiting_bytes": self._archiving.waiting_bytes,
                "shipper_left_segments": len(left),
                "anchors_age_seconds": time.monotonic() - self._anchored_s,
            },
            errors={
                target.name: target.last_error
                for target in (self._stream, self._storage)
                if target.last_error
            }
            | dict(list(left.items())[-1:]),
        )

    def _publish(self) -> None:
        try:
            if self._publishing.step() < BATCH_EVENTS_MAX:
                time.sleep(self._settings.shipper_linger_ms / 1_000)
        except TargetDown:
            time.sleep(WAIT_S)

    def _archive(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self._archiving.step()
            except TargetDown:
                pass  # told by the target; what waits is looked for again
            except Exception:
                self._telemetry.count("bugs", "archiving")
                log.exception("segments could not be shipped")

    def _anchor(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self._anchorer.step()
            except Exception:  # offered again with the next ones; the age shows
                log.exception("the heads of the chains could not be anchored")
            else:
                self._anchored_s = time.monotonic()

    def _keep_place(self) -> None:
        try:
            save_checkpoint(self._checkpoint, self._publishing.checkpoint)
        except OSError:  # more is published again, that is all
            log.exception("the checkpoint could not be kept")

    def _backlog(self) -> Backlog:
        published = self._publishing
        return backlog_of(
            self._settings.journal,
            published.published,
            region=self._region,
            event_bytes=published.event_bytes,
        )


def object_store_of(settings: ScorerSettings) -> ObjectStore:
    """The object storage that the settings name."""
    address = settings.object_storage_address()
    if not isinstance(address, S3Address):
        return FolderObjects(address)
    # Not loaded where no AWS is used; then its packages need not be there.
    from app.record import object_store_s3  # noqa: PLC0415

    retention = object_store_s3.Retention(
        mode=settings.object_lock.upper(), days=settings.object_lock_days
    )
    return object_store_s3.connect(
        address,
        region=settings.region,
        endpoint=settings.aws_endpoint or None,
        retention=None if settings.object_lock == "none" else retention,
    )


def anchors_of(settings: ScorerSettings) -> AnchorSink:
    """Where the settings want the heads of the chains."""
    address = settings.anchors_address()
    if not isinstance(address, S3Address):
        return FolderAnchors(address)
    from app.record import anchor_s3  # noqa: PLC0415 - as above

    return anchor_s3.connect(
        address,
        region=settings.region,
        endpoint=settings.aws_endpoint or None,
        host=socket.gethostname(),
    )


def run(settings: ScorerSettings) -> None:
    """Ship until told to stop."""
    shipper = Shipper(settings)

    def stop(_number: int, _frame: FrameType | None) -> None:
        shipper.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    shipper.run()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(load())
