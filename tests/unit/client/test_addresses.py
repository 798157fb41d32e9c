"""Addresses outlive a DNS that fails, and a liar's are left out."""

from __future__ import annotations

import asyncio

import pytest

from stepdown_client.addresses import HOLD_S, PinnedAddresses


class Dns:
    def __init__(self):
        self.says: object = ["10.0.0.1"]
        self.asked = 0

    async def __call__(self, host, port):
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return list(self.says)


@pytest.fixture
def dns():
    return Dns()


@pytest.fixture
def addresses(dns, clock):
    return PinnedAddresses(dns, every_s=30.0, clock=clock)


async def usable(addresses):
    """What is used after a look-up in the background has ended."""
    await addresses.usable("host", 80)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return await addresses.usable("host", 80)


async def test_dns_is_asked_once_in_its_time(addresses, dns, clock):
    assert await usable(addresses) == ["10.0.0.1"]
    await usable(addresses)
    assert dns.asked == 1
    clock.advance(31)
    dns.says = ["10.0.0.2"]
    await asyncio.sleep(0.01)
    await addresses.usable("host", 80)
    await asyncio.sleep(0.01)
    assert await usable(addresses) == ["10.0.0.2"]


@pytest.mark.parametrize("trouble", [OSError("SERVFAIL"), TimeoutError(), []])
async def test_when_dns_fails_the_last_addresses_stay(addresses, dns, clock, trouble):
    await usable(addresses)
    dns.says = trouble
    for _ in range(3):
        clock.advance(31)
        await addresses.usable("host", 80)
        await asyncio.sleep(0.01)
        assert await usable(addresses) == ["10.0.0.1"]
    assert dns.asked == 4


async def test_a_host_that_was_never_found_is_an_error(addresses, dns):
    dns.says = OSError("NXDOMAIN")
    with pytest.raises(OSError, match="no address"):
        await addresses.usable("host", 80)
    dns.says = ["10.0.0.1"]
    assert await addresses.usable("host", 80) == ["10.0.0.1"]


async def test_an_address_is_its_own_name(addresses, dns):
    assert await addresses.usable("127.0.0.1", 80) == ["127.0.0.1"]
    assert dns.asked == 0


async def test_an_address_that_was_good_stays_behind_what_dns_says_now(addresses, dns, clock):
    await usable(addresses)
    addresses.confirm("host", "10.0.0.1")
    clock.advance(31)
    dns.says = ["10.6.6.6"]
    await addresses.usable("host", 80)
    await asyncio.sleep(0.01)
    assert await usable(addresses) == ["10.6.6.6", "10.0.0.1"]
    addresses.distrust("host", "10.6.6.6")
    assert await usable(addresses) == ["10.0.0.1"]
    clock.advance(HOLD_S + 1)
    assert await usable(addresses) == ["10.6.6.6", "10.0.0.1"]


async def test_a_host_is_never_left_without_an_address(addresses):
    await usable(addresses)
    addresses.distrust("host", "10.0.0.1")
    assert await usable(addresses) == ["10.0.0.1"]
