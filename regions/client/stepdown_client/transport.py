"""HTTP to the endpoints: a pool of kept connections each, and every failure by its name."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
import msgspec

from stepdown_client.addresses import PinnedResolver
from stepdown_client.errors import (
    ConnectError,
    DeniedError,
    RefusedError,
    ServerError,
    TimedOutError,
)
from stepdown_client.pool import Endpoint
from stepdown_client.settings import ClientSettings

__all__ = ["Transport"]

CONNECTIONS_MAX = 256
# Below a load balancer's 60 s and the service's 75: whoever closes first should be the client.
KEPT_S = 50.0
CONTENT_BYTES_MAX = 256 * 1024
# What every region would say of the same body.
_REFUSED = frozenset({400, 409, 413, 415, 422})
_DENIED = frozenset({401, 403})


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


class Transport:
    """Talks to endpoints. Belongs to one event loop."""

    def __init__(self, settings: ClientSettings, resolver: PinnedResolver) -> None:
        self._settings = settings
        self._resolver = resolver
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def post(
        self,
        endpoint: Endpoint,
        path: str,
        body: bytes,
        *,
        timeout_ms: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Post JSON; the content of the answer.

        Raises:
            RefusedError: the service refuses this body.
            TryError: the endpoint did not answer.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        return await self._request(
            "POST", endpoint, path, body=body, headers=sent, timeout_ms=timeout_ms
        )

    async def get(self, endpoint: Endpoint, path: str, *, timeout_ms: float) -> bytes:
        """Get something; see `post`."""
        return await self._request(
            "GET", endpoint, path, body=None, headers={}, timeout_ms=timeout_ms
        )

    def confirm(self, endpoint: Endpoint) -> None:
        """The endpoint gave a verified answer: its addresses are good."""
        self._resolver.confirm(_host(endpoint))

    async def distrust(self, endpoint: Endpoint) -> None:
        """It gave a forged one: back to the addresses that were good, if there are others."""
        if self._resolver.distrust(_host(endpoint)):
            await self.drop(endpoint)

    async def drop(self, endpoint: Endpoint) -> None:
        """Hang up on an endpoint."""
        session = self._sessions.pop(endpoint.url, None)
        if session is not None:
            await session.close()

    async def close(self) -> None:
        """Hang up on all of them."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        await self._resolver.close()

    async def _request(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_ms: float,
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(
            total=timeout_ms / 1_000,
            sock_connect=min(self._settings.connect_ms, timeout_ms) / 1_000,
        )
        try:
            async with self._session(endpoint).request(
                method, endpoint.url + path, data=body, headers=headers, timeout=timeout
            ) as response:
                content = await response.content.read(CONTENT_BYTES_MAX)
                while not response.content.at_eof() and len(content) < CONTENT_BYTES_MAX:
                    content += await response.content.read(CONTENT_BYTES_MAX)
                return _checked(response.status, content)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectionError) as error:
            # A time-out of the whole is one of these, too, and is no matter of the connection.
            if isinstance(error, aiohttp.SocketTimeoutError):
                raise TimedOutError(f"no answer within {timeout_ms:.0f} ms") from None
            raise ConnectError(f"{type(error).__name__}: {error}") from None
        except TimeoutError:
            raise TimedOutError(f"no answer within {timeout_ms:.0f} ms") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise ServerError(f"{type(error).__name__}: {error}") from None
        except OSError as error:
            raise ConnectError(f"{type(error).__name__}: {error}") from None

    def _session(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        session = self._sessions.get(endpoint.url)
        if session is None:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._resolver,
                    use_dns_cache=False,  # the resolver keeps what it knows
                    limit=CONNECTIONS_MAX,
                    keepalive_timeout=KEPT_S,
                ),
                connector_owner=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"X-Api-Key": self._settings.api_key, "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
            self._sessions[endpoint.url] = session
        return session


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


def _host(endpoint: Endpoint) -> str:
    return urlsplit(endpoint.url).hostname or ""
