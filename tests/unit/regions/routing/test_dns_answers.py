"""DNS messages: who is named, and what is refused how."""

from __future__ import annotations

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord, EDNSOption
from hypothesis import given
from hypothesis import strategies as st

from regions.routing.dns_answers import Place, subnet_of
from regions.routing.dns_process import resolver_of
from regions.routing.health import CheckRule, RegionChecks
from regions.topology import load_topology

TOPOLOGY = load_topology()
SERVICE = "decisions.stepdown.test"


def resolver(*out, asked_at="us-east-1", regions=tuple(TOPOLOGY.regions), address="127.0.0.1"):
    rule = CheckRule(checkers=1)
    checks = {region: RegionChecks.under(rule) for region in regions}
    for region in out:
        checks[region].endpoint.tell(0, False)
    places = {
        region: Place(address=address, port=TOPOLOGY.ports(region, 18_000).api)
        for region in regions
    }
    return resolver_of(TOPOLOGY, checks, places=places, asked_at=asked_at)


def ask(who, name=SERVICE, kind="A", *more, klass=1):
    query = DNSRecord(DNSHeader(id=7, rd=1), q=DNSQuestion(name, getattr(QTYPE, kind), klass))
    query.add_ar(*more)
    return DNSRecord.parse(who.answer(query.pack()))


def subnet(client, bits=24):
    packed = bytes(map(int, client.split(".")))[: (bits + 7) // 8]
    return EDNS0(opts=[EDNSOption(8, b"\0\x01" + bytes([bits, 0]) + packed)])


def named(reply):
    return str(reply.rr[0].rdata)


def test_who_does_not_say_where_it_is_is_near_the_server_it_asks():
    for region in TOPOLOGY.regions:
        assert named(ask(resolver(asked_at=region))) == f"{region}.decisions.stepdown.test."


def test_the_answer_is_an_alias_the_regions_address_and_a_ttl_of_a_minute():
    reply = ask(resolver())
    assert [(QTYPE[one.rtype], one.ttl) for one in reply.rr] == [("CNAME", 60), ("A", 60)]
    assert str(reply.rr[1].rname) == named(reply)
    assert reply.header.aa == 1
    assert reply.header.id == 7


@pytest.mark.parametrize("region", TOPOLOGY.regions)
def test_the_clients_subnet_says_where_it_is(region):
    client = str(subnet_of(TOPOLOGY.region(region).number)[513])
    reply = ask(resolver(), SERVICE, "A", subnet(client))
    assert named(reply).startswith(f"{region}.")
    assert reply.ar[0].rdata[0].data[3] == 16


def test_a_subnet_that_nobody_knows_or_too_wide_a_one_is_near_the_server():
    for option in (subnet("192.0.2.0"), subnet("10.1.0.0", bits=8)):
        reply = ask(resolver(), SERVICE, "A", option)
        assert named(reply).startswith("us-east-1.")
        assert reply.ar[0].rdata[0].data[3] == 0


def test_a_subnet_of_ipv6_is_near_the_server():
    option = EDNS0(opts=[EDNSOption(8, b"\0\x02\x38\0" + bytes(7))])
    assert named(ask(resolver(), SERVICE, "A", option)).startswith("us-east-1.")


def test_an_unhealthy_region_gives_way_to_the_nearest_healthy_one():
    assert named(ask(resolver("us-east-1"))).startswith("eu-west-1.")
    assert named(ask(resolver("us-east-1", "eu-west-1"))).startswith("ap-southeast-1.")


def test_when_all_are_unhealthy_the_nearest_is_named_all_the_same():
    assert named(ask(resolver(*TOPOLOGY.regions))).startswith("us-east-1.")


def test_a_regions_own_name_is_that_region_whatever_its_health():
    reply = ask(resolver("eu-west-1"), "eu-west-1.decisions.stepdown.test")
    assert [str(one.rdata) for one in reply.rr] == ["127.0.0.1"]


def test_names_are_found_in_any_case():
    assert ask(resolver(), "DECISIONS.Stepdown.TEST").rr


def test_the_service_record_says_the_port():
    reply = ask(resolver("us-east-1"), f"_stepdown._tcp.{SERVICE}", "SRV")
    assert reply.rr[0].rdata.port == 18_100
    assert str(reply.rr[0].rdata.target) == "eu-west-1.decisions.stepdown.test."
    own = ask(resolver(), f"_stepdown._tcp.ap-southeast-1.{SERVICE}", "SRV")
    assert own.rr[0].rdata.port == 18_200


def test_how_the_checkers_see_a_region_is_text_that_nobody_keeps():
    reply = ask(resolver("us-east-1"), f"_health.us-east-1.{SERVICE}", "TXT")
    assert reply.rr[0].rdata.data == [b"endpoint=down switch=in record=unhealthy"]
    assert reply.rr[0].ttl == 0


def test_an_address_of_ipv6_is_answered_as_one():
    reply = ask(resolver(address="::1"), f"us-east-1.{SERVICE}", "AAAA")
    assert [str(one.rdata) for one in reply.rr] == ["::1"]


@pytest.mark.parametrize("name", ["nope", "mars-1", "_tcp.nope", "_health"])
def test_a_name_of_the_zone_that_does_not_exist_is_nxdomain_with_the_soa(name):
    reply = ask(resolver(), f"{name}.{SERVICE}")
    assert reply.header.rcode == RCODE.NXDOMAIN
    assert [QTYPE[one.rtype] for one in reply.auth] == ["SOA"]
    assert not reply.rr


def test_a_region_that_does_not_run_here_is_nxdomain():
    one = resolver(regions=("us-east-1",))
    assert ask(one, f"eu-west-1.{SERVICE}").header.rcode == RCODE.NXDOMAIN


def test_a_name_without_that_type_is_no_error_and_no_answer():
    for name, kind in ((f"us-east-1.{SERVICE}", "AAAA"), (f"_tcp.{SERVICE}", "SRV")):
        reply = ask(resolver(), name, kind)
        assert reply.header.rcode == RCODE.NOERROR
        assert not reply.rr
        assert [QTYPE[one.rtype] for one in reply.auth] == ["SOA"]


@pytest.mark.parametrize(
    ("name", "kind", "klass"),
    [("example.com", "A", 1), ("stepdown.test", "A", 1), (SERVICE, "AXFR", 1), (SERVICE, "A", 3)],
)
def test_what_is_not_served_here_is_refused(name, kind, klass):
    reply = ask(resolver(), name, kind, klass=klass)
    assert reply.header.rcode == RCODE.REFUSED
    assert reply.header.aa == 0
    assert not reply.rr


def test_an_update_is_not_implemented():
    query = DNSRecord(DNSHeader(opcode=5), q=DNSQuestion(SERVICE))
    assert DNSRecord.parse(resolver().answer(query.pack())).header.rcode == RCODE.NOTIMP


def test_two_questions_are_a_format_error():
    query = DNSRecord(questions=[DNSQuestion(SERVICE), DNSQuestion(SERVICE)])
    assert DNSRecord.parse(resolver().answer(query.pack())).header.rcode == RCODE.FORMERR


def test_a_later_edns_is_a_bad_version():
    reply = ask(resolver(), SERVICE, "A", EDNS0(version=1))
    assert reply.header.rcode | (reply.ar[0].edns_rcode << 4) == 16
    assert not reply.rr


def test_a_bug_here_is_a_server_failure(caplog):
    broken = resolver(asked_at="mars-1")
    assert ask(broken).header.rcode == RCODE.SERVFAIL
    assert "could not be answered" in caplog.text


def test_an_answer_gets_no_answer():
    assert resolver().answer(DNSRecord(DNSHeader(qr=1)).pack()) is None


@given(st.binary(max_size=120))
def test_whatever_comes_in_is_answered_with_its_id_or_not_at_all(message):
    reply = resolver().answer(message)
    if len(message) < 12 or message[2] & 0x80:
        assert reply is None
    else:
        assert reply[:2] == message[:2]
        assert reply[2] & 0x80


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=180))
def test_every_answer_fits_a_plain_datagram(prefix):
    labels = [label[:63] for label in prefix.split(".") if label]
    name = ".".join([*labels, SERVICE])
    assert len(resolver().answer(DNSRecord.question(name[-250:].lstrip("."), "ANY").pack())) <= 512
