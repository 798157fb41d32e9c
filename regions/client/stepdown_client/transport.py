"""HTTP to the endpoints: a pool of kept connections each, and every failure by its name."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from stepdown_client.addresses import PinnedAddresses
from stepdown_client.errors import (
    ConnectError,
    DeniedError,
    RefusedError,
    ServerError,
    TimedOutError,
)
from stepdown_client.pool import Endpoint
from stepdown_client.settings import ClientSettings

__all__ = ["Reply", "Transport"]

CONNECTIONS_MAX = 256
# Below a load balancer's 60 s and the service's 75: whoever closes first should be the client.
KEPT_S = 50.0
# No try takes longer.
RETIRED_S = 5.0
CONTENT_BYTES_MAX = 256 * 1024
# What every region would say of the same body.
_REFUSED = frozenset({400, 409, 413, 415, 422})
_DENIED = frozenset({401, 403})


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


class Reply(NamedTuple):
    """What came, and from which address."""

    content: bytes
    address: str


class _Line(NamedTuple):
    """Kept connections to one address."""

    address: str
    session: aiohttp.ClientSession


class _Fixed(AbstractResolver):
    """Knows one address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        """That one."""
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=socket.AF_INET6 if ":" in self._address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing to close."""


class Transport:
    """Talks to endpoints. Belongs to one event loop."""

    def __init__(self, settings: ClientSettings, addresses: PinnedAddresses) -> None:
        self._settings = settings
        self._addresses = addresses
        self._lines: dict[str, _Line] = {}
        self._retired: set[asyncio.Task[None]] = set()

    async def post(
        self,
        endpoint: Endpoint,
        path: str,
        body: bytes,
        *,
        timeout_ms: float,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Post JSON.

        Raises:
            RefusedError: the service refuses this body.
            TryError: the endpoint did not answer.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        return await self._request(
            "POST", endpoint, path, body=body, headers=sent, timeout_ms=timeout_ms
        )

    async def get(self, endpoint: Endpoint, path: str, *, timeout_ms: float) -> Reply:
        """Get something; see `post`."""
        return await self._request(
            "GET", endpoint, path, body=None, headers={}, timeout_ms=timeout_ms
        )

    def confirm(self, endpoint: Endpoint, address: str) -> None:
        """An address of the endpoint gave a verified answer."""
        self._addresses.confirm(_place(endpoint)[0], address)

    def distrust(self, endpoint: Endpoint, address: str) -> None:
        """It gave a forged one: hang up, and go to another if there is one."""
        self._addresses.distrust(_place(endpoint)[0], address)
        line = self._lines.get(endpoint.url)
        if line is not None and line.address == address:
            self.drop(endpoint)

    def drop(self, endpoint: Endpoint) -> None:
        """Hang up on an endpoint."""
        self._retire(self._lines.pop(endpoint.url, None))

    async def close(self) -> None:
        """Hang up on all of them."""
        for line in self._lines.values():
            await line.session.close()
        self._lines.clear()
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)
        self._addresses.close()

    async def _request(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_ms: float,
    ) -> Reply:
        timeout = aiohttp.ClientTimeout(
            total=timeout_ms / 1_000,
            sock_connect=min(self._settings.connect_ms, timeout_ms) / 1_000,
        )
        address = ""
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                line = await self._line(endpoint)
            address = line.address
            async with line.session.request(
                method, endpoint.url + path, data=body, headers=headers, timeout=timeout
            ) as response:
                content = await response.content.read(CONTENT_BYTES_MAX)
                while not response.content.at_eof() and len(content) < CONTENT_BYTES_MAX:
                    content += await response.content.read(CONTENT_BYTES_MAX)
                return Reply(_checked(response.status, content), address)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectionError) as error:
            # A time-out of the whole is one of these, too, and is no matter of the connection.
            if isinstance(error, aiohttp.SocketTimeoutError):
                raise TimedOutError(f"no answer within {timeout_ms:.0f} ms") from None
            if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                self.distrust(endpoint, address)
            raise ConnectError(f"{type(error).__name__}: {error}") from None
        except TimeoutError:
            raise TimedOutError(f"no answer within {timeout_ms:.0f} ms") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise ServerError(f"{type(error).__name__}: {error}") from None
        except OSError as error:
            raise ConnectError(f"{type(error).__name__}: {error}") from None

    async def _line(self, endpoint: Endpoint) -> _Line:
        """The connections to the endpoint, all to one address: the answers say whose they are."""
        host, port = _place(endpoint)
        usable = await self._addresses.usable(host, port)
        line = self._lines.get(endpoint.url)
        if line is not None and line.address in usable:
            return line
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Fixed(usable[0]),
                use_dns_cache=False,
                limit=CONNECTIONS_MAX,
                keepalive_timeout=KEPT_S,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"X-Api-Key": self._settings.api_key, "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        self._retire(line)
        line = self._lines[endpoint.url] = _Line(usable[0], session)
        return line

    def _retire(self, line: _Line | None) -> None:
        """Hang up once what is under way has ended."""

        async def later(session: aiohttp.ClientSession) -> None:
            try:
                await asyncio.sleep(RETIRED_S)
            finally:
                await session.close()

        if line is not None:
            task = asyncio.create_task(later(line.session))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)


def _checked(status: int, content: bytes) -> bytes:
    if status in {200, 202}:
        return content
    detail = _detail(content)
    if status in _REFUSED:
        raise RefusedError(status, detail)
    if status in _DENIED:
        raise DeniedError(status, detail)
    raise ServerError(f"HTTP {status}: {detail}")


def _detail(content: bytes) -> str:
    """A problem document's `detail`, or the beginning of what else came."""
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return content[:200].decode("utf-8", "replace")
    return problem.detail or problem.title


def _place(endpoint: Endpoint) -> tuple[str, int]:
    parts = urlsplit(endpoint.url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
