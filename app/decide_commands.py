"""The command `decide`: one attempt, asked as a checkout asks it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.command_line import HomeOption, JsonOption, print_json, shown
from app.errors import OperatorError
from app.fresh_id import fresh_id

__all__ = ["decide"]


def decide(
    attempt: Annotated[
        str,
        typer.Argument(
            help="A file with an attempt as JSON, - for standard input, or a number: "
            "that sample attempt."
        ),
    ] = "1",
    amount: Annotated[
        int | None, typer.Option(help="Amount in minor units, instead of the attempt's.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Currency, ISO 4217.")] = None,
    merchant: Annotated[str | None, typer.Option(help="Id of the merchant.")] = None,
    token: Annotated[str | None, typer.Option(help="Token of the card.")] = None,
    api: Annotated[
        list[str] | None,
        typer.Option(
            envvar="STEPDOWN_API",
            help="Address of a region, nearest first, repeatable; the local world's by default.",
        ),
    ] = None,
    client_deadline: Annotated[
        float, typer.Option(min=20, max=60_000, help="For the answer, milliseconds.")
    ] = 1_000.0,
    client_default: Annotated[
        bool,
        typer.Option(
            "--client-default",
            help="When no region answers, decide by the last signed policy, as a checkout does; "
            "it is posted back by the next attempt that reaches a region.",
        ),
    ] = False,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Ask the regions for a decision on one payment attempt, as a checkout does.

    The nearest region is asked first, another one within the deadline; the answer's signature is
    verified. The API key is taken from STEPDOWN_API_KEY, or is the development key.
    """
    changes: dict[tuple[str, str], object] = {
        ("amount", "value"): amount,
        ("amount", "currency"): currency,
        ("merchant", "id"): merchant,
        ("instrument", "token"): token,
    }
    body = _changed(_attempt(attempt, home), changes)
    answer = _asked(body, _endpoints(api, home), home, client_deadline, default=client_default)
    if json:
        print_json(answer)
        return
    table = Table(show_header=False, box=None)
    for name, value in answer.items():
        if name != "token":
            table.add_row(f"[bold]{name}", shown(value))
    Console().print(table)


def _asked(
    body: bytes, endpoints: dict[str, str], home: Path, deadline_ms: float, *, default: bool
) -> dict[str, Any]:
    """Ask through the client library.

    Raises:
        OperatorError: no region answered, or refused the attempt.
    """
    try:
        import stepdown_client as client
    except ImportError:
        raise OperatorError("decide needs the client library: install regions/client.") from None
    folder, trusted = home / "client", _trusted(home)
    try:
        settings = client.ClientSettings(
            endpoints=endpoints,
            api_key=_key(home),
            trusted_keys=trusted,
            # Of a service elsewhere there is no key here to verify its answers by.
            require_signed=any(trusted.glob("*.pem")),
            deadline_ms=deadline_ms,
            connect_ms=min(300.0, deadline_ms),
            routing_cache=folder / "routing.json" if default else None,
            stand_ins=folder / "stand-ins.jsonl" if default else None,
        )
        with client.SyncStepdownClient(settings) as asking:
            answer = asking.decide(body)
            if answer.rung != client.CLIENT_DEFAULT:
                asking.wait_posted_back(timeout_s=2.0)
    except ValueError as error:  # of the settings, or an attempt that is none
        raise OperatorError(f"{str(error).rstrip('.')}.") from None
    except client.StepdownError as error:
        raise OperatorError(f"the service refused the attempt: {error}") from None
    if answer.rung == client.CLIENT_DEFAULT and not default:
        raise OperatorError(
            f"no service answers at {', '.join(endpoints.values())}; 'stepdown up' starts one."
        )
    said: dict[str, Any] = msgspec.to_builtins(answer)
    return said


def _endpoints(api: list[str] | None, home: Path) -> dict[str, str]:
    """Addresses by name: as given, else the regions of the local world."""
    if api:
        for url in api:
            if not url.startswith(("http://", "https://")):
                raise OperatorError(f"{url!r} is not the address of a service.")
        return {f"region-{number}": url.rstrip("/") for number, url in enumerate(api, start=1)}
    from regions.topology import load_topology

    topology, base = load_topology(), os.environ.get("STEPDOWN_PORT_BASE", "18000")
    if not base.isdecimal():
        raise OperatorError(f"STEPDOWN_PORT_BASE is a number, not {base!r}.")
    made = [name for name in topology.regions if (home / name / "published").is_dir()]
    return {
        name: f"http://127.0.0.1:{topology.ports(name, int(base)).api}"
        for name in made or list(topology.regions)[:1]
    }


def _trusted(home: Path) -> Path:
    """The public keys of the local world's journals, in one folder.

    They are read anew each time: a world that was made anew has others.
    """
    folder = home / "client" / "trusted-keys"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.pem"):
        old.unlink()
    for path in home.glob("*/journal/keyring/*.pem"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _changed(body: bytes, changes: dict[tuple[str, str], object]) -> bytes:
    """The attempt with what the options say."""
    given = {place: value for place, value in changes.items() if value is not None}
    if not given:
        return body
    try:
        attempt = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise OperatorError(f"this is no attempt: {error}.") from None
    for (part, field), value in given.items():
        attempt[part] = {**attempt.get(part, {}), field: value}
    return msgspec.json.encode(attempt)


def _attempt(source: str, home: Path) -> bytes:
    from app.samples import load_samples

    if source == "-":
        return sys.stdin.buffer.read()
    if source.isdigit():
        samples = load_samples(home)
        if not 1 <= int(source) <= len(samples):
            raise OperatorError(f"there are sample attempts 1 to {len(samples)}.")
        body = samples[int(source) - 1].body
        return msgspec.json.encode({**body, "attempt_id": fresh_id("att")})
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise OperatorError(f"{source} cannot be read: {error.strerror}.") from None


def _key(home: Path) -> str:
    from app.registry import Registry

    if key := os.environ.get("STEPDOWN_API_KEY"):
        return key
    path = Registry(home).dev_key
    if not path.exists():
        raise OperatorError("set STEPDOWN_API_KEY; there is no development key in this home.")
    return path.read_text(encoding="ascii").strip()
