"""The region's stream as the settings name it: a Valkey server's, or a Kinesis data stream."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from app.record.frames import Record
from app.settings import KinesisAddress, ScorerSettings
from app.streams.connection import connect
from app.streams.heartbeat import latest_ms
from app.streams.interface import EventStream, Positions, StreamPublisher
from app.streams.journal_tail import JournalTail
from app.streams.room import MakesRoom
from app.streams.valkey import ValkeyPublisher, ValkeyStream
from fallback.clock import SystemClock

__all__ = ["followed", "publisher_of", "stream_of"]

# Kinesis lets a shard be read five times a second, by all its readers together. The applier takes
# four; joiner and historian, whom nobody waits for, take a quarter each.
APPLIER_POLL_S = 0.25
FOLLOWER_POLL_S = 4.0


def publisher_of(settings: ScorerSettings, published: Positions) -> StreamPublisher:
    """The shipper's end of the stream.

    Args:
        settings: name the stream.
        published: where the publisher goes on, by writer.
    """
    address = settings.stream_address()
    if isinstance(address, KinesisAddress):
        # Not loaded where no AWS is used; then its packages need not be there.
        from app.streams import aws, kinesis  # noqa: PLC0415

        return kinesis.KinesisPublisher(
            kinesis.connect(region=settings.region, endpoint=settings.aws_endpoint or None),
            stream=address.stream,
            published=published,
            calls=aws.AwsCalls(
                "kinesis", budget=aws.RetryBudget(), rng=random.Random(), sleep=time.sleep
            ),
        )
    client = connect(address, settings.datastore_password(), name="stepdown-shipper", timeout_s=1.0)
    publisher = ValkeyPublisher(
        client,
        stream=settings.region,
        published=published,
        runs_kept=settings.stream_runs_kept,
    )
    return MakesRoom(publisher, client, stream=settings.region)


def stream_of(
    settings: ScorerSettings, *, since_ms: Callable[[], int], poll_s: float = APPLIER_POLL_S
) -> EventStream:
    """A reader's end of the stream.

    Args:
        settings: name the stream.
        since_ms: by when everything journaled was applied, ms since the epoch; 0 for nothing.
        poll_s: a shard of Kinesis's that had no more is asked again after this.
    """
    address = settings.stream_address()
    if isinstance(address, KinesisAddress):
        from app.streams import aws, kinesis, kinesis_reader  # noqa: PLC0415 - as above

        return kinesis_reader.KinesisStream(
            kinesis.connect(region=settings.region, endpoint=settings.aws_endpoint or None),
            stream=address.stream,
            since_ms=since_ms,
            calls=aws.AwsCalls(
                "kinesis", budget=aws.RetryBudget(), rng=random.Random(), sleep=time.sleep
            ),
            clock=SystemClock(),
            poll_s=poll_s,
        )
    client = connect(address, settings.datastore_password())
    return ValkeyStream(client, stream=settings.region)


def followed(settings: ScorerSettings) -> EventStream:
    """What joiner and historian follow: this host's journals, or those of all hosts as they come.

    A follow-up may reach another host than its decision did, so that where a region has several,
    only its stream has both.
    """
    if settings.follow == "journals":
        return JournalTail(settings.journal)
    return _Followed(settings)


class _Followed:
    """The region's stream for a reader that keeps positions and no time beside them.

    Implements `EventStream`; to be rewound before a first read.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        self._since_ms = 0
        self._stream = stream_of(settings, since_ms=lambda: self._since_ms, poll_s=FOLLOWER_POLL_S)

    def rewind(self, positions: Positions) -> None:
        """Start again behind the positions, whose last heartbeat tells by when they were taken."""
        self._since_ms = latest_ms(positions)
        self._stream.rewind(positions)

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, in order for each writer."""
        return self._stream.read(limit)
