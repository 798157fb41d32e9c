"""The region's stream as the settings name it: a Valkey server's, or a Kinesis data stream."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from app.settings import KinesisAddress, ScorerSettings
from app.streams.connection import connect
from app.streams.interface import EventStream, Positions, StreamPublisher
from app.streams.room import MakesRoom
from app.streams.valkey import ValkeyPublisher, ValkeyStream
from fallback.clock import SystemClock

__all__ = ["publisher_of", "stream_of"]


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


def stream_of(settings: ScorerSettings, *, since_ms: Callable[[], int]) -> EventStream:
    """The applier's end of the stream.

    Args:
        settings: name the stream.
        since_ms: by when everything journaled was applied, ms since the epoch; 0 for nothing.
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
        )
    client = connect(address, settings.datastore_password())
    return ValkeyStream(client, stream=settings.region)
