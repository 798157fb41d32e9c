"""Shipper and applier on the stream that the settings name: heartbeats come through either."""

from __future__ import annotations

import secrets
import time

import boto3
import pytest

from app.settings import load
from app.streams.choice import publisher_of, stream_of
from app.streams.heartbeat import Freshness, heartbeat


@pytest.fixture
def on_valkey(valkey):
    return load({"STEPDOWN_STREAM": f"127.0.0.1:{valkey.port}"})


@pytest.fixture
def on_kinesis(moto):
    name = f"events-{secrets.token_hex(4)}"
    client = boto3.client("kinesis", region_name="us-east-1", endpoint_url=moto)
    client.create_stream(StreamName=name, ShardCount=2)
    return load({"STEPDOWN_STREAM": f"kinesis:{name}", "STEPDOWN_AWS_ENDPOINT": moto})


@pytest.mark.parametrize("chosen", ["on_valkey", "on_kinesis"])
def test_a_heartbeat_reaches_the_applier(request, chosen):
    settings = request.getfixturevalue(chosen)
    publisher, stream = publisher_of(settings, {}), stream_of(settings, since_ms=lambda: 0)
    stream.rewind({})
    for at_ms in (500, 700):
        publisher.publish([heartbeat(3, at_ms, {"3/0": (1, 4)})])
    found, give_up_s = [], time.monotonic() + 5
    while len(found) < 2:
        assert time.monotonic() < give_up_s
        found += stream.read(10)
    assert Freshness(0).after(found, {"3/0": (1, 4)}) == 700
