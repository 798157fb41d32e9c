"""Route 53: latency records, each behind a pre-created health check that an operator can turn red.

    record of R  -->  calculated check, needs both  -->  endpoint check   R's /readyz over HTTPS
                                                    -->  inverted check   GET <switches>/out/R

The inverted check passes while the object is not there, so writing one object takes a region out
and deleting it lets the region in. Nothing else is changed, ever: Route 53's control plane is in
one region, and may be away when a region is. The bucket lies in none of the regions that it
switches; if it is away itself the checks fail, which inverted means that all stay in.

What reads (records, health) is control plane, so evacuation must not need it, and does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import boto3

from app.streams.aws import CONFIG, AwsCalls
from app.streams.interface import StreamUnavailable
from regions.routing.health import CheckRule, calculated
from regions.routing.interface import (
    TTL_S,
    Record,
    RegionHealth,
    RoutingUnavailable,
    nearest,
)

__all__ = ["Route53Router", "connect", "switch_key"]

T = TypeVar("T")


def switch_key(region: str) -> str:
    """Key of the object that is there while a region is out."""
    return f"out/{region}"


def connect(
    service: str, *, region: str | None = None, endpoint: str | None = None
) -> Any:  # boto3 has no types
    """A client for background use: bounded waits, no retries of its own.

    Args:
        service: `route53` or `s3`.
        region: AWS's name of the bucket's region; Route 53 has none.
        endpoint: another address than AWS's own, for tests.
    """
    return boto3.client(
        service, region_name=region or "us-east-1", endpoint_url=endpoint, config=CONFIG
    )


class Route53Router:
    """Implements `Router`. For one thread."""

    def __init__(
        self,
        route53: Any,
        s3: Any,
        *,
        zone: str,
        name: str,
        bucket: str,
        round_trip_ms: Callable[[str, str], float],
        calls: Callable[[str], AwsCalls],
    ) -> None:
        """Make the router; nothing is called before it is used.

        Args:
            route53: boto3's client.
            s3: boto3's client, for the switches' bucket.
            zone: id of the hosted zone.
            name: that checkouts resolve.
            bucket: of the switches.
            round_trip_ms: between two regions, to tell which is nearest.
            calls: makes what guards the calls of a service: retries, budget, breaker.
        """
        self._route53, self._s3 = route53, s3
        self._zone, self._bucket = zone, bucket
        self._name = name.rstrip(".")
        self._round_trip_ms = round_trip_ms
        self._routing_calls, self._switch_calls = calls("route53"), calls("s3")

    def records(self) -> Sequence[Record]:
        """The latency records of the name."""
        return [
            Record(
                name=self._name,
                region=one["Region"],
                target=_target(one),
                ttl_s=one.get("TTL", TTL_S),
            )
            for one in self._latency_records()
        ]

    def health(self) -> Mapping[str, RegionHealth]:
        """Health by region, from the votes of Route 53's checkers.

        The status of a calculated check cannot be asked for, so that it is worked out from its
        children. A record without a check is always healthy.
        """
        checks = {one["Id"]: one["HealthCheckConfig"] for one in self._checks()}
        return {
            one["Region"]: self._health_of(one.get("HealthCheckId"), checks)
            for one in self._latency_records()
        }

    def is_out(self, region: str) -> bool:
        """Whether the object is there that the region's inverted check looks for."""
        listed = self._switched(self._s3.list_objects_v2, Prefix=switch_key(region))
        return any(one["Key"] == switch_key(region) for one in listed.get("Contents", ()))

    def set_out(self, region: str) -> None:
        """Write that object."""
        self._switched(
            self._s3.put_object,
            Key=switch_key(region),
            Body=datetime.now(UTC).isoformat().encode(),
            ContentType="text/plain",
        )

    def set_in(self, region: str) -> None:
        """Delete that object."""
        self._switched(self._s3.delete_object, Key=switch_key(region))

    def answer_for(self, client_region: str) -> str:
        """What Route 53 will answer there, by health now and the topology's latencies."""
        healthy = {region: one.healthy for region, one in self.health().items()}
        if not healthy:
            raise RoutingUnavailable(f"{self._name} has no latency record")
        return nearest(client_region, healthy, self._round_trip_ms)

    def _health_of(
        self, check: str | None, checks: Mapping[str, Mapping[str, Any]]
    ) -> RegionHealth:
        config = checks.get(check or "", {})
        own = [] if check is None else [check]
        children: list[str] = config["ChildHealthChecks"] if _is_calculated(config) else own
        endpoint = switch = True
        verdicts = []
        for child in children:
            if child not in checks:
                continue
            inverted = bool(checks[child].get("Inverted"))
            verdict = self._passing(child) != inverted
            verdicts.append(verdict)
            if inverted:
                switch = switch and verdict
            else:
                endpoint = endpoint and verdict
        needed = int(config.get("HealthThreshold", len(verdicts)))
        return RegionHealth(
            endpoint=endpoint,
            switch=switch,
            healthy=calculated(verdicts, needed=needed),
        )

    def _passing(self, check: str) -> bool:
        """Whether more than 18 % of a check's checkers got an answer that passes."""
        answer = self._asked(self._route53.get_health_check_status, HealthCheckId=check)
        told = [
            one["StatusReport"]["Status"].startswith("Success")
            for one in answer["HealthCheckObservations"]
        ]
        return not told or sum(told) / len(told) > CheckRule().healthy_share

    def _latency_records(self) -> Iterator[dict[str, Any]]:
        pages = self._route53.get_paginator("list_resource_record_sets")
        for page in self._asked(lambda: list(pages.paginate(HostedZoneId=self._zone))):
            for one in page["ResourceRecordSets"]:
                if one["Name"].rstrip(".") == self._name and "Region" in one:
                    yield one

    def _checks(self) -> Iterator[dict[str, Any]]:
        pages = self._route53.get_paginator("list_health_checks")
        for page in self._asked(lambda: list(pages.paginate())):
            yield from page["HealthChecks"]

    def _asked(self, method: Callable[..., T], **arguments: Any) -> T:
        return _called(self._routing_calls, method, arguments)

    def _switched(self, method: Callable[..., T], **arguments: Any) -> T:
        return _called(self._switch_calls, method, {"Bucket": self._bucket, **arguments})


def _called(calls: AwsCalls, method: Callable[..., T], arguments: Mapping[str, Any]) -> T:
    try:
        return calls.call(method, **arguments)
    except StreamUnavailable as error:
        raise RoutingUnavailable(str(error)) from error


def _is_calculated(config: Mapping[str, Any]) -> bool:
    return config.get("Type") == "CALCULATED"


def _target(record: Mapping[str, Any]) -> str:
    alias = record.get("AliasTarget")
    if alias is not None:
        return str(alias["DNSName"]).rstrip(".")
    return str(record["ResourceRecords"][0]["Value"]).rstrip(".")
