"""How gunicorn runs the scorers."""

from __future__ import annotations

import ssl

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from app.own_certificate import own_certificate
from app.server import newcomers
from app.settings import load

_settings = load()
_host = f"[{_settings.api_host}]" if ":" in _settings.api_host else _settings.api_host

bind = f"{_host}:{_settings.api_port}"
workers = _settings.workers
worker_class = "app.server.Worker"
# A load balancer keeps connections for 60 s; the side that closes first resets the other.
keepalive = 75
# A worker that does not come back within this is hung, and recycled.
timeout = 10
graceful_timeout = 4
# Bounded: beyond it the kernel refuses, and the client goes to another region.
backlog = 1_024
accesslog = None
loglevel = "warning"
proc_name = f"stepdown-scorer-{_settings.region}"

if _settings.api_tls:
    _certificate, _key = own_certificate(_settings.region_folder / "tls")
    certfile, keyfile = str(_certificate), str(_key)
    ssl_version = ssl.PROTOCOL_TLS_SERVER


def on_reload(arbiter: Arbiter) -> None:
    """Before those that replace all workers are made."""
    newcomers.replace(arbiter.worker_age)
