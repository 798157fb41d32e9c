"""Sealed journal segments in S3, under Object Lock.

Object Lock alone does not keep a key from being written over: that makes a new version, and the
old one stays. So a segment is written with `If-None-Match: *`, and the version id that comes back
is what an auditor asks for. An upload counts once S3 has confirmed its SHA-256 and its size.
"""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError

from app.record.object_store import ObjectConflict, ObjectStoreUnavailable
from app.settings import S3Address
from app.streams.aws import CONFIG, AwsCalls, RetryBudget
from app.streams.interface import StreamUnavailable

__all__ = ["Retention", "S3Objects", "connect"]

PRECONDITION_FAILED = "PreconditionFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long no version may be deleted.

    Attributes:
        mode: GOVERNANCE or COMPLIANCE.
        days: from the upload on.
    """

    mode: str
    days: int


class S3Objects:
    """Objects below one prefix of a bucket. Implements `ObjectStore`."""

    def __init__(
        self,
        client: Any,
        address: S3Address,
        *,
        retention: Retention | None,
        calls: AwsCalls,
        now: Callable[[], datetime],
    ) -> None:
        """Write below a prefix.

        Args:
            client: boto3's S3 client.
            address: bucket and prefix.
            retention: of each object; None for a bucket that has its own rule, or none.
            calls: makes the calls.
            now: wall clock, with its zone.
        """
        self._client = client
        self._address = address
        self._retention = retention
        self._calls = calls
        self._now = now

    def put(self, key: str, content: bytes) -> str:
        """Upload an object, unless an equal one is there, and verify what is kept."""
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode("ascii")
        place = {"Bucket": self._address.bucket, "Key": f"{self._address.prefix}{key}"}
        try:
            reply = self._calls.call(
                self._client.put_object,
                Body=content,
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=digest,
                **self._lock(),
                **place,
            )
        except StreamUnavailable as error:
            if not _exists(error):
                raise ObjectStoreUnavailable(str(error)) from error
            reply = {}  # then what is there is verified
        return self._verified(place, reply.get("VersionId"), digest, len(content))

    def _verified(self, place: dict[str, str], version: str | None, digest: str, size: int) -> str:
        """The version of what is kept, once it is known to be the content."""
        pinned = {"VersionId": version} if version else {}
        try:
            head = self._calls.call(
                self._client.head_object, ChecksumMode="ENABLED", **pinned, **place
            )
        except StreamUnavailable as error:
            raise ObjectStoreUnavailable(str(error)) from error
        if (head.get("ChecksumSHA256"), head["ContentLength"]) != (digest, size):
            raise ObjectConflict(f"s3://{place['Bucket']}/{place['Key']} holds something else")
        found: str = head.get("VersionId", "null")  # S3's own name where there are no versions
        return found

    def _lock(self) -> dict[str, Any]:
        if self._retention is None:
            return {}
        until = self._now() + timedelta(days=self._retention.days)
        return {"ObjectLockMode": self._retention.mode, "ObjectLockRetainUntilDate": until}


def connect(
    address: S3Address, *, region: str, endpoint: str | None, retention: Retention | None
) -> S3Objects:
    """Objects in S3, with bounded waits.

    Args:
        address: bucket and prefix.
        region: AWS's name of it.
        endpoint: another address than AWS's own, for tests.
        retention: of each object.
    """
    return S3Objects(
        boto3.client("s3", region_name=region, endpoint_url=endpoint, config=CONFIG),
        address,
        retention=retention,
        calls=AwsCalls("s3", budget=RetryBudget(), rng=random.Random(), sleep=time.sleep),
        now=lambda: datetime.now(UTC),
    )


def _exists(error: StreamUnavailable) -> bool:
    cause = error.__cause__
    return (
        isinstance(cause, ClientError)
        and cause.response.get("Error", {}).get("Code") == PRECONDITION_FAILED
    )
