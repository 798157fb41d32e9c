"""The API over TLS, as a balancer speaks to it."""

from __future__ import annotations

import http.client
import ssl
import time

import pytest

START_S_MAX = 30.0


@pytest.fixture
def region(gunicorn):
    """A server with the service's own configuration; its folder and port."""
    _, home, port = gunicorn(STEPDOWN_WORKERS="1", STEPDOWN_API_TLS="true")
    return home / "us-east-1" / "tls", port


def ask(port, context):
    connection = http.client.HTTPSConnection("localhost", port, timeout=5, context=context)
    connection.request("GET", "/")
    answer = connection.getresponse()
    return answer.status, connection.sock.version() if connection.sock else None


def test_a_balancer_is_answered_over_tls_and_nobody_without(region):
    folder, port = region
    give_up_s = time.monotonic() + START_S_MAX
    while True:
        try:
            context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
            status, spoken = ask(port, context)
            break
        except OSError:
            assert time.monotonic() < give_up_s
            time.sleep(0.1)
    assert (status, spoken) == (200, "TLSv1.3")
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    plain = http.client.HTTPConnection("localhost", port, timeout=5)
    plain.request("GET", "/")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
