"""DNS messages in, DNS messages out: what is answered to a query. No socket, no clock.

| query | answer |
|---|---|
| shorter than a header, or itself an answer | none |
| unreadable, or not one question | FORMERR |
| not a QUERY | NOTIMP |
| EDNS of a later version (RFC 6891) | BADVERS |
| another class, a zone transfer, a name of another zone | REFUSED |
| a name of the zone that does not exist | NXDOMAIN, with the zone's SOA |
| a name without that type | no error and no answer, with the zone's SOA |
| a bug here | SERVFAIL |

Answers fit 512 bytes, whatever the question: no truncation is needed.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dnslib import (
    AAAA,
    CLASS,
    CNAME,
    EDNS0,
    OPCODE,
    QTYPE,
    RCODE,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSHeader,
    DNSRecord,
    EDNSOption,
)

from regions.routing.interface import TTL_S
from regions.routing.names import Asked, Kind, Names

__all__ = ["CLIENT_SUBNET", "Place", "Resolver", "subnet_of"]

_HEADER_BYTES = 12
_UDP_BYTES = 1_232  # what fits every path unfragmented
CLIENT_SUBNET = 8  # RFC 7871
_BADVERS = 16
_HEALTH_TTL_S = 0
_NEGATIVE_TTL_S = 5
_TRANSFERS = frozenset({251, 252})  # IXFR, AXFR

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a region's API listens."""

    address: str
    port: int


def subnet_of(number: int) -> ipaddress.IPv4Network:
    """Addresses that stand for checkouts near the region of this number, on one machine."""
    return ipaddress.IPv4Network(f"10.{number}.0.0/16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """Answers the queries that one region's server gets.

    Attributes:
        names: that it answers to.
        places: of the regions that run.
        near: client networks by region; asked for by EDNS client subnet.
        asked_at: the region near which everybody else is.
        choose: the region to send checkouts near a region to.
        said: how the checkers see a region, in words.
    """

    names: Names
    places: Mapping[str, Place]
    near: Mapping[str, ipaddress.IPv4Network]
    asked_at: str
    choose: Callable[[str], str]
    said: Callable[[str], str]
    ttl_s: int = field(default=TTL_S)

    def answer(self, message: bytes) -> bytes | None:
        """The answer to a message; None where none is due."""
        if len(message) < _HEADER_BYTES or message[2] & 0x80:
            return None
        try:
            query = DNSRecord.parse(message)
        except Exception:  # noqa: BLE001 - what the parser raises on garbage is not declared
            return _refusal(message, RCODE.FORMERR)
        try:
            packed: bytes = self._reply(query).pack()
        except Exception:
            log.exception("a query could not be answered")
            return _refusal(message, RCODE.SERVFAIL)
        return packed

    def _reply(self, query: DNSRecord) -> DNSRecord:
        reply = DNSRecord(
            DNSHeader(
                id=query.header.id,
                qr=1,
                aa=1,
                ra=0,
                rd=query.header.rd,
                opcode=query.header.opcode,
            ),
            questions=query.questions,
        )
        rcode = self._filled(query, reply)
        reply.header.rcode = rcode & 0xF
        if rcode == RCODE.REFUSED:
            reply.header.aa = 0
        return reply

    def _filled(self, query: DNSRecord, reply: DNSRecord) -> int:
        """Put the answer in; its code."""
        if query.header.opcode != OPCODE.QUERY:
            return int(RCODE.NOTIMP)
        if len(query.questions) != 1:
            return int(RCODE.FORMERR)
        options = next((one for one in query.ar if one.rtype == QTYPE.OPT), None)
        if options is not None and options.edns_ver > 0:
            reply.add_ar(EDNS0(udp_len=_UDP_BYTES, ext_rcode=_BADVERS >> 4))
            return _BADVERS
        near, echoed = self._near(options)
        if options is not None:
            reply.add_ar(EDNS0(udp_len=_UDP_BYTES, opts=echoed))
        question = query.questions[0]
        if question.qclass != CLASS.IN or question.qtype in _TRANSFERS:
            return int(RCODE.REFUSED)
        asked = self.names.asked(str(question.qname))
        if asked.kind is Kind.ELSEWHERE:
            return int(RCODE.REFUSED)
        wanted = {question.qtype, QTYPE.CNAME}  # an alias is part of every answer
        records = [
            one
            for one in self._records(str(question.qname), asked, near)
            if one.rtype in wanted or question.qtype == QTYPE.ANY
        ]
        reply.add_answer(*records)
        if not any(question.qtype in {one.rtype, QTYPE.ANY} for one in records):
            reply.add_auth(self._soa())
        missing = asked.kind is Kind.NOTHING or self._away(asked)
        return int(RCODE.NXDOMAIN if missing else RCODE.NOERROR)

    def _away(self, asked: Asked) -> bool:
        """Whether a region is asked for that does not run here."""
        return asked.region is not None and asked.region not in self.places

    def _records(self, name: str, asked: Asked, near: str) -> list[RR]:
        """All records of a name."""
        if asked.kind in {Kind.NOTHING, Kind.EMPTY} or self._away(asked):
            return []
        if asked.kind is Kind.HEALTH:
            assert asked.region is not None
            return [RR(name, QTYPE.TXT, rdata=TXT(self.said(asked.region)), ttl=_HEALTH_TTL_S)]
        region = asked.region or self.choose(near)
        target, place = self.names.of(region), self.places[region]
        if asked.kind is Kind.SERVICE:
            located = SRV(priority=0, weight=0, port=place.port, target=target)
            return [RR(name, QTYPE.SRV, rdata=located, ttl=self.ttl_s)]
        if asked.region is not None:
            return [self._address(name, place)]
        alias = RR(name, QTYPE.CNAME, rdata=CNAME(target), ttl=self.ttl_s)
        return [alias, self._address(target, place)]

    def _address(self, name: str, place: Place) -> RR:
        if ipaddress.ip_address(place.address).version == 6:
            return RR(name, QTYPE.AAAA, rdata=AAAA(place.address), ttl=self.ttl_s)
        return RR(name, QTYPE.A, rdata=A(place.address), ttl=self.ttl_s)

    def _near(self, options: RR | None) -> tuple[str, list[EDNSOption]]:
        """The region that the asker is near, and the option that says how that was found."""
        for option in () if options is None else options.rdata:
            if option.code != CLIENT_SUBNET:
                continue
            family, bits = int.from_bytes(option.data[:2], "big"), option.data[2]
            shortened = option.data[4:8].ljust(4, b"\0")
            client = ipaddress.IPv4Address(shortened) if family == 1 else None
            for region, network in self.near.items():
                if client is not None and bits >= network.prefixlen and client in network:
                    return region, [_scoped(option.data, network.prefixlen)]
            return self.asked_at, [_scoped(option.data, 0)]
        return self.asked_at, []

    def _soa(self) -> RR:
        zone = self.names.service
        times = (1, 3_600, 600, 86_400, _NEGATIVE_TTL_S)
        soa = SOA(f"ns.{zone}", f"operations.{zone}", times)
        return RR(zone, QTYPE.SOA, rdata=soa, ttl=_NEGATIVE_TTL_S)


def _scoped(data: bytes, scope: int) -> EDNSOption:
    return EDNSOption(CLIENT_SUBNET, data[:3] + bytes([scope]) + data[4:])


def _refusal(message: bytes, rcode: int) -> bytes:
    """An answer of a header alone, for a query that could not be worked on."""
    flags = 0x80 | (message[2] & 0x79)
    return message[:2] + bytes([flags, rcode]) + bytes(8)
