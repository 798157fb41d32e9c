"""The service's own AWS code on the very resources that Terraform made, by the names it tells."""

from __future__ import annotations

import random
import secrets
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from app.record.anchor import Anchor, FolderAnchors
from app.record.frames import Kind
from app.record.journal import open_journal
from app.record.kms import KmsSigner
from app.record.object_store import ObjectConflict
from app.record.shipper import anchors_of, object_store_of
from app.record.signing import FileSigner, Keyring, ensure_signing_key, key_id
from app.settings import load
from app.streams.aws import AwsCalls, RetryBudget
from app.streams.choice import followed, publisher_of, stream_of
from app.streams.heartbeat import heartbeat
from app.streams.journal_tail import JournalTail
from regions.routing.route53 import Route53Router, connect, switch_key
from regions.topology import load_topology
from tests.terraform.conftest import REGIONS

ARRIVES_S_MAX = 10.0

pytestmark = pytest.mark.timeout(1_800)


@pytest.fixture(params=REGIONS)
def region(request):
    return request.param


@pytest.fixture
def made(world, region):
    """Names that the region's root tells."""
    return world["region", region].outputs()["data"]


@pytest.fixture
def settings(made, region, moto, tmp_path):
    return load(
        {
            "STEPDOWN_HOME": str(tmp_path),
            "STEPDOWN_REGION": region,
            "STEPDOWN_STREAM": f"kinesis:{made['stream']}",
            "STEPDOWN_OBJECT_STORAGE": f"s3://{made['record']}/segments",
            "STEPDOWN_ANCHORS": f"s3://{made['anchors']}/heads",
            "STEPDOWN_FOLLOW": "stream",
            "STEPDOWN_AWS_ENDPOINT": moto,
        }
    )


@pytest.fixture
def s3(region, moto):
    return boto3.client("s3", region_name=region, endpoint_url=moto)


@pytest.fixture(autouse=True)
def over_tls(world, made, s3, moto):
    """Policies of buckets deny whoever comes without TLS; moto denies everyone, and has no TLS."""
    switches = world["global", "global"].outputs()["switches"]
    control = boto3.client("s3", region_name="us-west-2", endpoint_url=moto)
    buckets = [(s3, made["record"]), (s3, made["anchors"]), (control, switches)]
    policies = [client.get_bucket_policy(Bucket=name)["Policy"] for client, name in buckets]
    for client, name in buckets:
        client.delete_bucket_policy(Bucket=name)
    yield
    for (client, name), policy in zip(buckets, policies, strict=True):
        client.put_bucket_policy(Bucket=name, Policy=policy)


def test_a_segment_is_kept_locked_and_encrypted_by_the_regions_key(settings, made, s3):
    store = object_store_of(settings)
    key = f"0/00000/{secrets.token_hex(4)}"
    version = store.put(key, b"a sealed segment")
    assert store.put(key, b"a sealed segment") == version
    with pytest.raises(ObjectConflict):
        store.put(key, b"another one")
    place = {"Bucket": made["record"], "Key": f"segments/{key}", "VersionId": version}
    kept = s3.get_object(**place)
    assert kept["Body"].read() == b"a sealed segment"
    assert kept["ObjectLockMode"] == "GOVERNANCE"
    assert kept["ServerSideEncryption"] == "aws:kms"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(**place)


def test_what_is_put_there_by_hand_is_locked_by_the_bucket(made, s3):
    for bucket in (made["record"], made["anchors"]):
        s3.put_object(Bucket=bucket, Key="by-hand", Body=b"")
        rule = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]["Rule"]
        retention = rule["DefaultRetention"]  # moto adds the years, 0
        assert (retention["Mode"], retention["Days"]) == ("GOVERNANCE", 365)


def test_heads_of_the_chains_are_anchored_and_fetched(settings, tmp_path):
    heads = [
        Anchor(region=0, writer=writer, epoch=1, seq=7, opened=False, head="00" * 32, at_ms=5)
        for writer in (0, 256)
    ]
    anchors = anchors_of(settings)
    anchors.put(heads)
    anchors.put(heads)  # as after an answer that was lost
    assert anchors.fetch(FolderAnchors(tmp_path / "fetched")) == 1


def test_events_come_off_the_stream_as_they_were_put_on_it(settings):
    number = load_topology().region(settings.region).number
    journal = open_journal(settings.journal, region=number, fsync_ms=0)
    ids = [journal.append(Kind.DECISION, f"decision {count}".encode()) for count in range(300)]
    records = JournalTail(settings.journal).read(1_000)
    publisher_of(settings, {}).publish([*records, heartbeat(number, 500, {})])
    journal.close()
    for reader in (stream_of(settings, since_ms=lambda: 0), followed(settings)):
        reader.rewind({})
        found, give_up_s = [], time.monotonic() + ARRIVES_S_MAX
        while len(found) < len(ids) + 1:
            assert time.monotonic() < give_up_s
            found += reader.read(1_000)
        assert [record.id for record in found if record.kind is Kind.DECISION] == ids


def test_the_endorsing_key_vouches_for_a_hosts_key(world, moto, tmp_path):
    kms = boto3.client("kms", region_name="us-west-2", endpoint_url=moto)
    root = KmsSigner(kms, world["global", "global"].outputs()["endorsing_key"])
    host = ensure_signing_key(tmp_path / "journal-key")
    assert isinstance(host, FileSigner)
    keyring = Keyring(tmp_path / "keyring", root=root.public_key)
    keyring.add(host.public_key)
    name, signature = key_id(host.public_key), host.sign(b"a seal")
    assert "no one vouches for it" in Keyring(tmp_path / "keyring", root=root.public_key).verify(
        name, b"a seal", signature
    )
    keyring.endorse(host.public_key, by=root)
    assert keyring.verify(name, b"a seal", signature) is None


def looked_at(route53, zone, region):
    """Path and inversion of both checks behind a region's latency record."""
    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    (check,) = [one["HealthCheckId"] for one in records if one.get("Region") == region]

    def config(id):
        return route53.get_health_check(HealthCheckId=id)["HealthCheck"]["HealthCheckConfig"]

    children = [config(one) for one in config(check)["ChildHealthChecks"]]
    return {(one["ResourcePath"], one.get("Inverted", False)) for one in children}


def shared_name(route53, zone, region):
    """Where clients reach the nearest region: the name of its latency record."""
    records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    (name,) = {one["Name"].rstrip(".") for one in records if one.get("Region") == region}
    return name


def test_one_object_takes_a_region_out_and_its_absence_lets_it_in(world, moto, region):
    told = world["global", "global"].outputs()
    route53 = connect("route53", endpoint=moto)
    router = Route53Router(
        route53,
        connect("s3", region="us-west-2", endpoint=moto),
        zone=told["zone"],
        name=shared_name(route53, told["zone"], region),
        bucket=told["switches"],
        round_trip_ms=load_topology().round_trip_ms,
        calls=lambda name: AwsCalls(
            name, budget=RetryBudget(), rng=random.Random(7), sleep=time.sleep
        ),
    )
    assert {record.region for record in router.records()} == set(REGIONS)
    assert looked_at(route53, told["zone"], region) == {
        (f"/{switch_key(region)}", True),
        ("/readyz", False),
    }
    router.set_out(region)
    assert router.is_out(region)
    router.set_in(region)
    assert not router.is_out(region)
