"""Faults of a datastore that runs and refuses: by its own commands, so that errors are real ones.

oom         writes are refused, the memory is full        -OOM
readonly    writes are refused, it follows another one    -READONLY
masterdown  everything is refused, that one is away       -MASTERDOWN, as -LOADING at a start
noauth      the password is another one, all hung up on   -WRONGPASS, then -NOAUTH
noperm      reads of counters are refused                 -NOPERM
maxclients  no connection is taken, all hung up on        -ERR max number of clients reached
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, Literal

import msgspec
import redis

from app.errors import OperatorError
from chaos.engine.alternating import in_turns
from chaos.engine.ground import Ground

__all__ = ["Refusing", "client_of", "refusing"]

# Nothing listens there, so what follows it keeps what it has.
NOBODY = ("127.0.0.1", "1")
ANSWER_S_MAX = 5.0

Refusal = Literal["oom", "readonly", "masterdown", "noauth", "noperm", "maxclients"]


class Refusing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it refuses, and when.

    Attributes:
        how: see above.
        share: of the time, in turns; attempts come at random times, so that it is of them, too.
        period_s: of a turn.
    """

    how: Refusal
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    period_s: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.1


@contextmanager
def client_of(ground: Ground, target: str) -> Iterator[redis.Redis]:
    """One connection to a datastore of the plan, past any proxy.

    Raises:
        OperatorError: there is no such datastore, or it does not do as told.
    """
    port = next((one.port for one in ground.plan.processes if one.name == target), None)
    if port is None:
        raise OperatorError(f"there is no datastore {target!r}; see 'stepdown status'.")
    client = redis.Redis(
        port=port,
        password=(ground.home / "secrets" / "datastore").read_text("utf-8").strip(),
        protocol=2,
        socket_timeout=ANSWER_S_MAX,
        single_connection_client=True,
    )
    try:
        yield client
    except redis.RedisError as error:
        raise OperatorError(f"{target} does not do as told: {error}.") from None
    finally:
        client.close()


@contextmanager
def refusing(ground: Ground, target: str, options: Refusing) -> Iterator[None]:
    """A datastore refuses, all the time or in turns."""
    with (
        client_of(ground, target) as client,
        in_turns(
            lambda: _REFUSALS[options.how](client),
            share=options.share,
            period_s=options.period_s,
        ),
    ):
        yield


@contextmanager
def _configured(client: redis.Redis, name: str, value: str) -> Iterator[None]:
    before = client.config_get(name)[name] or ""
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, before)


@contextmanager
def _following_nobody(client: redis.Redis) -> Iterator[None]:
    _tell(client, "REPLICAOF", *NOBODY)
    try:
        yield
    finally:
        _tell(client, "REPLICAOF", "NO", "ONE")


@contextmanager
def _without_master(client: redis.Redis) -> Iterator[None]:
    with _configured(client, "replica-serve-stale-data", "no"), _following_nobody(client):
        yield


@contextmanager
def _other_password(client: redis.Redis) -> Iterator[None]:
    with _configured(client, "requirepass", secrets.token_hex(16)):
        _hang_up(client)
        yield


@contextmanager
def _without_reads(client: redis.Redis) -> Iterator[None]:
    _tell(client, "ACL", "SETUSER", "default", "-mget")
    try:
        yield
    finally:
        _tell(client, "ACL", "SETUSER", "default", "+@all")


@contextmanager
def _full_house(client: redis.Redis) -> Iterator[None]:
    with _configured(client, "maxclients", "1"):
        _hang_up(client)
        yield


def _tell(client: Any, *words: str) -> None:
    """A command that the driver has no name for, nor types."""
    client.execute_command(*words)


def _hang_up(client: redis.Redis) -> None:
    """On everybody but ourselves, and copies of it."""
    _tell(client, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


_REFUSALS: dict[Refusal, Callable[[redis.Redis], AbstractContextManager[None]]] = {
    "oom": lambda client: _configured(client, "maxmemory", "1"),
    "readonly": _following_nobody,
    "masterdown": _without_master,
    "noauth": _other_password,
    "noperm": _without_reads,
    "maxclients": _full_house,
}
