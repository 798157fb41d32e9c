"""Anchors as small objects in S3: one a step and host, with the heads of all its writers.

Under Object Lock not even the account that wrote them can take them back. `If-None-Match: *`
keeps a second host of the same name, or a repeated request, from writing over one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import boto3
import msgspec

from app.record.anchor import Anchor, FolderAnchors
from app.settings import S3Address
from app.streams.aws import CONFIG

__all__ = ["AnchorConflict", "S3Anchors", "S3Client", "connect"]

PRECONDITION_FAILED = 412
CONNECTIONS = 8


class AnchorConflict(Exception):  # noqa: N818 - a fact about what is stored
    """Other heads stand under this host's name and time: two hosts share a name."""


class S3Client(Protocol):
    """What is used of boto3's client.

    Made with `Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard"})`.
    """

    exceptions: Any

    def put_object(self, **request: Any) -> dict[str, Any]:
        """Write an object."""
        ...

    def get_object(self, **request: Any) -> dict[str, Any]:
        """Read an object."""
        ...

    def get_paginator(self, operation_name: str) -> Any:
        """Go through a list."""
        ...


class S3Anchors:
    """Anchors below one prefix of a bucket. Implements `AnchorSink`."""

    def __init__(self, client: S3Client, *, bucket: str, prefix: str, host: str) -> None:
        """Write below a prefix.

        Args:
            client: boto3's S3 client.
            bucket: best with Object Lock.
            prefix: of this region's anchors, with its closing slash.
            host: name of this host, unique in the region.
        """
        self._client, self._bucket, self._prefix, self._host = client, bucket, prefix, host

    def put(self, anchors: Sequence[Anchor]) -> None:
        """Write the heads of one moment as one object.

        Raises:
            AnchorConflict: other heads are there already.
            botocore.exceptions.ClientError: S3 refuses.
        """
        key = f"{self._prefix}{anchors[0].at_ms:015d}-{self._host}.json"
        body = msgspec.json.encode(anchors)
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
        except self._client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != PRECONDITION_FAILED:
                raise
            if self._read(key) != body:  # else an answer was lost, and the request repeated
                raise AnchorConflict(f"{key} holds other heads") from error

    def fetch(self, into: FolderAnchors) -> int:
        """Copy all anchors into an empty folder, for an audit; how many objects."""
        count = 0
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for page in pages:  # a thousand keys, in the order of time
                bodies = pool.map(self._read, [one["Key"] for one in page.get("Contents", ())])
                decoded = [msgspec.json.decode(body, type=list[Anchor]) for body in bodies]
                into.put([anchor for heads in decoded for anchor in heads])
                count += len(decoded)
        return count

    def _read(self, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body


def connect(address: S3Address, *, region: str, endpoint: str | None, host: str) -> S3Anchors:
    """Anchors in S3, with bounded waits.

    Args:
        address: bucket and prefix.
        region: AWS's name of it; part of the prefix.
        endpoint: another address than AWS's own, for tests.
        host: name of this host, unique in the region.
    """
    client = boto3.client("s3", region_name=region, endpoint_url=endpoint, config=CONFIG)
    prefix = f"{address.prefix}{region}/"
    return S3Anchors(client, bucket=address.bucket, prefix=prefix, host=host)
