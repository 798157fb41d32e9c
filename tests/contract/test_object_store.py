"""What the shipper relies on, of every object storage: written once, verified, never over."""

from __future__ import annotations

import random
import secrets
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError

from app.record.object_store import FolderObjects, ObjectConflict, ObjectStoreUnavailable
from app.record.object_store_s3 import Retention, S3Objects
from app.record.shipper import object_store_of
from app.settings import S3Address, load
from app.streams.aws import CONFIG, AwsCalls, RetryBudget

KEY = "us-east-1/00000/00000001-000000000001.journal"
SEGMENT = b"a sealed segment" * 1_000


class Folder:
    def __init__(self, folder):
        self.folder = folder
        self.store = FolderObjects(folder)

    def content(self, key):
        return (self.folder / key).read_bytes()


class Bucket:
    def __init__(self, address, *, lock="COMPLIANCE"):
        self.client = boto3.client(
            "s3", region_name="us-east-1", endpoint_url=address, config=CONFIG
        )
        self.name = f"journals-{secrets.token_hex(4)}"
        self.client.create_bucket(Bucket=self.name, ObjectLockEnabledForBucket=lock is not None)
        self.store = S3Objects(
            self.client,
            S3Address(self.name, "audit/"),
            retention=None if lock is None else Retention(mode=lock, days=30),
            calls=AwsCalls("s3", budget=RetryBudget(), rng=random.Random(1), sleep=lambda _s: None),
            now=lambda: datetime.now(UTC),
        )

    def content(self, key, **version):
        reply = self.client.get_object(Bucket=self.name, Key=f"audit/{key}", **version)
        return reply["Body"].read()


@pytest.fixture
def bucket(moto):
    return Bucket(moto)


@pytest.fixture(params=["folder", "s3", "s3 without a lock"])
def kept(request, tmp_path):
    if request.param == "folder":
        return Folder(tmp_path / "objects")
    lock = "GOVERNANCE" if request.param == "s3" else None
    return Bucket(request.getfixturevalue("moto"), lock=lock)


def test_what_is_put_is_kept_and_has_a_version(kept):
    assert kept.store.put(KEY, SEGMENT)
    assert kept.content(KEY) == SEGMENT


def test_an_equal_object_that_is_there_already_is_success_and_the_same_version(kept):
    assert kept.store.put(KEY, SEGMENT) == kept.store.put(KEY, SEGMENT)


def test_another_content_is_refused_and_what_was_there_stays(kept):
    kept.store.put(KEY, SEGMENT)
    with pytest.raises(ObjectConflict, match="holds something else"):
        kept.store.put(KEY, SEGMENT + b"!")
    assert kept.content(KEY) == SEGMENT


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path):
    (tmp_path / "objects").write_bytes(b"a file")
    with pytest.raises(ObjectStoreUnavailable):
        FolderObjects(tmp_path / "objects").put(KEY, SEGMENT)


def test_a_write_that_was_cut_short_leaves_no_object_behind(tmp_path):
    store = FolderObjects(tmp_path)
    store.put(KEY, SEGMENT)
    names = [path.name for path in (tmp_path / KEY).parent.iterdir()]
    assert names == [KEY.rsplit("/", 1)[1]]


# S3: what an attacker with the writer's rights can do.


def test_a_version_under_retention_cannot_be_deleted(bucket):
    version = bucket.store.put(KEY, SEGMENT)
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.client.delete_object(Bucket=bucket.name, Key=f"audit/{KEY}", VersionId=version)
    assert bucket.content(KEY, VersionId=version) == SEGMENT


def test_retention_is_as_long_and_of_the_mode_that_was_set(bucket):
    version = bucket.store.put(KEY, SEGMENT)
    head = bucket.client.head_object(Bucket=bucket.name, Key=f"audit/{KEY}", VersionId=version)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    left = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
    assert timedelta(days=29) < left < timedelta(days=31)


def test_a_version_written_over_the_sealed_one_is_seen_and_the_sealed_one_can_be_asked_for(bucket):
    version = bucket.store.put(KEY, SEGMENT)
    bucket.client.put_object(Bucket=bucket.name, Key=f"audit/{KEY}", Body=b"forged")
    with pytest.raises(ObjectConflict):
        bucket.store.put(KEY, SEGMENT)
    assert bucket.content(KEY, VersionId=version) == SEGMENT


def test_a_bucket_that_is_not_there_is_unavailable(bucket):
    store = S3Objects(
        bucket.client,
        S3Address("no-such-bucket", ""),
        retention=None,
        calls=AwsCalls("s3", budget=RetryBudget(), rng=random.Random(1), sleep=lambda _s: None),
        now=lambda: datetime.now(UTC),
    )
    with pytest.raises(ObjectStoreUnavailable, match="NoSuchBucket"):
        store.put(KEY, SEGMENT)


def test_the_settings_choose_a_bucket_with_its_lock(bucket, moto):
    settings = load(
        {
            "STEPDOWN_OBJECT_STORAGE": f"s3://{bucket.name}/audit",
            "STEPDOWN_OBJECT_LOCK": "compliance",
            "STEPDOWN_AWS_ENDPOINT": moto,
        }
    )
    version = object_store_of(settings).put(KEY, SEGMENT)
    head = bucket.client.head_object(Bucket=bucket.name, Key=f"audit/{KEY}", VersionId=version)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert head["ContentLength"] == len(SEGMENT)
