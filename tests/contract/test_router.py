"""One suite for both routers: real DNS processes, and Route 53 and S3 of a test server.

The test server's health checkers do not look anywhere; here they do: the inverted check asks the
test server's S3 for the switch, the endpoint's check follows what the test says.
"""

from __future__ import annotations

import random
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from botocore.exceptions import EndpointConnectionError
from dnslib import DNSRecord

from app.streams.aws import AwsCalls, RetryBudget
from regions.routing.interface import RoutingUnavailable
from regions.routing.local import LocalRouter
from regions.routing.route53 import Route53Router, connect, switch_key
from regions.topology import load_topology

TOPOLOGY = load_topology()
REGIONS = tuple(TOPOLOGY.regions)
INTERVAL_S = 0.1
SEEN_S_MAX = 20.0


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


class OnDns:
    """Three regions' DNS processes, and the ready endpoints that they check."""

    def __init__(self, home, base):
        self.home, self.base = home, base
        self.apis = {}
        for region in REGIONS:
            self.serve(region)
        self.processes = {region: self.start(region) for region in REGIONS}
        self.router = LocalRouter(home, TOPOLOGY, regions=REGIONS, port_base=base)

    def dns(self, region):
        return answers(self.port(region))

    def port(self, region):
        return TOPOLOGY.ports(region, self.base).dns

    def serve(self, region):
        port = TOPOLOGY.ports(region, self.base).api
        self.apis[region] = server = ThreadingHTTPServer(("127.0.0.1", port), Api)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def start(self, region):
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "regions.routing.dns_process", "--home", str(self.home)),
                *("--region", region, "--regions", ",".join(REGIONS)),
                *("--port-base", str(self.base), "--interval", str(INTERVAL_S)),
            ]
        )

    def fail(self, region):
        self.apis[region].shutdown()
        self.apis.pop(region).server_close()

    def close(self):
        for region in list(self.apis):
            self.fail(region)
        for process in self.processes.values():
            process.terminate()
            assert process.wait(timeout=5) == 0


class Looking:
    """Route 53's client on the test server, but with checkers that look."""

    def __init__(self, client, address, down):
        self._client, self._address, self._down = client, address, down

    def __getattr__(self, name):
        return getattr(self._client, name)

    def get_health_check_status(self, **which):
        check = self._client.get_health_check(**which)["HealthCheck"]
        config = check["HealthCheckConfig"]
        host, path = config["FullyQualifiedDomainName"], config["ResourcePath"]
        inverted = config["Inverted"]
        passed = there(f"{self._address}{path}") if inverted else host not in self._down
        status = "Success: HTTP Status Code 200, OK" if passed else "Failure: no answer"
        return {"HealthCheckObservations": [{"StatusReport": {"Status": status}}] * 16}


class OnRoute53:
    """Records and checks as Terraform makes them before anything happens."""

    def __init__(self, address):
        self.bucket = f"switches-{secrets.token_hex(4)}"
        self.route53, self.s3 = (connect(name, endpoint=address) for name in ("route53", "s3"))
        self.s3.create_bucket(Bucket=self.bucket, ACL="public-read")
        zone = self.route53.create_hosted_zone(Name="shop.test", CallerReference=self.bucket)
        self.zone = zone["HostedZone"]["Id"].rpartition("/")[2]
        self.down = set()
        for region in REGIONS:
            self.prepare(region)
        self.router = Route53Router(
            Looking(self.route53, address, self.down),
            self.s3,
            zone=self.zone,
            name="decisions.shop.test",
            bucket=self.bucket,
            round_trip_ms=TOPOLOGY.round_trip_ms,
            calls=calls,
        )

    def prepare(self, region):
        endpoint = self.check(
            "HTTPS", host=TOPOLOGY.endpoint(region, "shop.test"), path="/readyz", inverted=False
        )
        switch = self.check(
            "HTTPS", host="s3", path=f"/{self.bucket}/{switch_key(region)}", inverted=True
        )
        both = {"Type": "CALCULATED", "HealthThreshold": 2, "ChildHealthChecks": [endpoint, switch]}
        record = {
            "Name": "decisions.shop.test",
            "Type": "CNAME",
            "SetIdentifier": region,
            "Region": region,
            "TTL": 60,
            "ResourceRecords": [{"Value": TOPOLOGY.endpoint(region, "shop.test")}],
            "HealthCheckId": self.made(both),
        }
        change = {"Action": "CREATE", "ResourceRecordSet": record}
        self.route53.change_resource_record_sets(
            HostedZoneId=self.zone, ChangeBatch={"Changes": [change]}
        )

    def check(self, kind, *, host, path, inverted):
        return self.made(
            {
                "Type": kind,
                "FullyQualifiedDomainName": host,
                "ResourcePath": path,
                "Port": 443,
                "RequestInterval": 10,
                "FailureThreshold": 3,
                "Inverted": inverted,
            }
        )

    def made(self, config):
        made = self.route53.create_health_check(
            CallerReference=secrets.token_hex(8), HealthCheckConfig=config
        )
        return made["HealthCheck"]["Id"]

    def fail(self, region):
        self.down.add(TOPOLOGY.endpoint(region, "shop.test"))

    def close(self):
        pass


def calls(name):
    return AwsCalls(name, budget=RetryBudget(), rng=random.Random(1), sleep=lambda _s: None)


def answers(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.5)
        asking.connect(("127.0.0.1", port))
        try:
            asking.send(DNSRecord.question("decisions.stepdown.test").pack())
            return DNSRecord.parse(asking.recv(512))
        except OSError:
            return None


def there(address):
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except urllib.error.HTTPError:
        return False


def eventually(true):
    end_s = time.monotonic() + SEEN_S_MAX
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.fixture
def on_dns(tmp_path, port_base):
    world = OnDns(tmp_path, port_base)
    try:
        eventually(lambda: all(world.dns(region) for region in REGIONS))
        yield world
    finally:
        world.close()


@pytest.fixture
def on_route53(moto):
    return OnRoute53(moto)


@pytest.fixture(params=["on_dns", "on_route53"])
def world(request):
    return request.getfixturevalue(request.param)


def test_there_is_a_record_of_a_minute_for_each_region(world):
    records = world.router.records()
    assert {one.region for one in records} == set(REGIONS)
    assert {one.ttl_s for one in records} == {60}
    assert all(one.target.startswith(f"{one.region}.decisions.") for one in records)


def test_each_checkout_is_sent_to_its_own_region_while_all_are_healthy(world):
    assert all(one.healthy for one in world.router.health().values())
    assert not any(world.router.is_out(region) for region in REGIONS)
    assert [world.router.answer_for(region) for region in REGIONS] == list(REGIONS)


def test_a_region_that_is_set_out_gets_nothing_until_it_is_set_in(world):
    router = world.router
    for _ in range(2):  # again is harmless
        router.set_out("us-east-1")
    assert router.is_out("us-east-1")
    eventually(lambda: router.answer_for("us-east-1") == "eu-west-1")
    seen = router.health()["us-east-1"]
    assert (seen.endpoint, seen.switch, seen.healthy) == (True, False, False)
    assert router.health()["eu-west-1"].healthy
    for _ in range(2):
        router.set_in("us-east-1")
    assert not router.is_out("us-east-1")
    eventually(lambda: router.answer_for("us-east-1") == "us-east-1")


def test_a_region_that_does_not_answer_gets_nothing(world):
    world.fail("eu-west-1")
    eventually(lambda: world.router.answer_for("eu-west-1") == "us-east-1")

    # Each server has checkers of its own, and the one that is asked here may be a round behind.
    def seen():
        of_region = world.router.health()["eu-west-1"]
        return of_region.endpoint, of_region.switch

    eventually(lambda: seen() == (False, True))


def test_when_all_are_out_each_is_used_again(world):
    for region in REGIONS:
        world.router.set_out(region)
    eventually(lambda: not any(one.healthy for one in world.router.health().values()))
    # As above, the server that is asked may be a round behind.
    eventually(lambda: [world.router.answer_for(one) for one in REGIONS] == list(REGIONS))


def test_a_region_whose_dns_is_gone_is_answered_by_another_regions(on_dns):
    gone = on_dns.processes.pop("us-east-1")
    gone.kill()
    gone.wait()
    assert not on_dns.dns("us-east-1")
    assert on_dns.router.answer_for("us-east-1") == "us-east-1"


def test_dns_is_answered_over_tcp_too_one_query_after_the_other(on_dns):
    with socket.create_connection(("127.0.0.1", on_dns.port("eu-west-1")), timeout=5) as asking:
        stream = asking.makefile("rwb")
        for name in ("decisions.stepdown.test", "us-east-1.decisions.stepdown.test"):
            query = DNSRecord.question(name)
            stream.write(len(query.pack()).to_bytes(2, "big") + query.pack())
            stream.flush()
            size = int.from_bytes(stream.read(2), "big")
            reply = DNSRecord.parse(stream.read(size))
            assert reply.header.id == query.header.id
            assert reply.rr


def test_without_any_dns_server_the_router_says_so(tmp_path, port_base):
    router = LocalRouter(tmp_path, TOPOLOGY, regions=("us-east-1",), port_base=port_base)
    with pytest.raises(RoutingUnavailable, match="no DNS server answers"):
        router.answer_for("us-east-1")
    router.set_out("us-east-1")  # which needs none


class Away:
    """An S3 client that cannot connect."""

    def __init__(self):
        self.calls = 0

    def put_object(self, **_):
        self.calls += 1
        raise EndpointConnectionError(endpoint_url="https://s3")


def test_a_switch_that_cannot_be_reached_is_tried_a_bounded_number_of_times(on_route53):
    s3 = Away()
    router = Route53Router(
        on_route53.route53,
        s3,
        zone=on_route53.zone,
        name="decisions.shop.test",
        bucket="switches",
        round_trip_ms=TOPOLOGY.round_trip_ms,
        calls=calls,
    )
    with pytest.raises(RoutingUnavailable):
        router.set_out("us-east-1")
    assert 1 < s3.calls <= 10


def test_setting_a_region_out_calls_nothing_of_route_53(on_route53):
    router = Route53Router(
        None,
        on_route53.s3,
        zone=on_route53.zone,
        name="decisions.shop.test",
        bucket=on_route53.bucket,
        round_trip_ms=TOPOLOGY.round_trip_ms,
        calls=calls,
    )
    router.set_out("us-east-1")
    assert on_route53.router.is_out("us-east-1")
    router.set_in("us-east-1")
    assert not on_route53.router.is_out("us-east-1")
