"""A history played to a service that somebody else runs, in replay mode, in a folder of its own.

What it knows before, its midnights' snapshots, its rules and its rungs are its operator's. Here
attempts, outcomes and labels are posted at a rate, and nothing is waited for.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Sequence

import msgspec

from app.errors import OperatorError
from app.play.answers import Answers
from app.play.pace import Pace
from app.play.player import play
from app.play.script import Script
from app.post import connection_to

__all__ = ["model_of_replays", "play_to_running"]

Report = Callable[[float, str], None]


class _Ready(msgspec.Struct, frozen=True):
    """What is read of a service's readiness."""

    replay: bool
    versions: dict[str, str]


def model_of_replays(apis: Sequence[str]) -> str | None:
    """The version of the model that decides there, if there is one.

    Args:
        apis: addresses of a service.

    Raises:
        OperatorError: one of them does not answer, or is not in replay mode. A service that is
            live would take what happened long ago for payments of today.
    """
    found = [_ready(api) for api in apis]
    for api, ready in zip(apis, found, strict=True):
        if not ready.replay:
            raise OperatorError(
                f"{api} does not run in replay mode and would take the history for payments of "
                "today; play to a service that was started with STEPDOWN_REPLAY=1."
            )
    return found[0].versions.get("model")


def play_to_running(
    script: Script, apis: Sequence[str], *, key: str, pace: Pace, report: Report
) -> tuple[Answers, float]:
    """Play a script to services that were seen to be in replay mode.

    Args:
        script: what to play.
        apis: their addresses, used in turn.
        key: API key that may decide, and take outcomes and labels.
        pace: how fast; not in lockstep, since nobody tells from here what is counted there.
        report: told the share done and what is being done.

    Returns:
        The answers, and how many seconds of posting they took.
    """
    bases = [api.rstrip("/") for api in apis]
    return asyncio.run(play(script, bases, key=key, pace=pace, report=report))


def _ready(api: str) -> _Ready:
    connection = connection_to(api)
    try:
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(), type=_Ready)
    except (OSError, http.client.HTTPException) as error:
        raise OperatorError(f"no service answers at {api} ({error}).") from None
    except msgspec.MsgspecError:
        raise OperatorError(f"{api} does not say whether it runs in replay mode.") from None
    finally:
        connection.close()
