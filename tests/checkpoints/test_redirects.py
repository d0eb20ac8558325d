"""Redirects of downloads: where they lead, and where they are not followed."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deepseek_math.checkpoints import redirects
from deepseek_math.errors import ServiceError

TIMEOUT = 10.0


@contextmanager
def redirecting(target: str) -> Iterator[str]:
    """The address of a server that redirects every path but /end to `target`, in which {0} is its own address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/end" else 302)
            self.send_header("Location", target.format(url))
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"end")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield url
        server.shutdown()


def test_a_redirect_to_another_http_address_is_followed() -> None:
    """From a private address to a private one, too."""
    with redirecting("{0}/end") as url, redirects.open_url(url, TIMEOUT) as response:
        assert response.read() == b"end"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "gopher://x/"])
def test_a_redirect_that_is_not_http_is_refused(target: str) -> None:
    with redirecting(target) as url:
        with pytest.raises((ServiceError, OSError)) as refused:
            redirects.open_url(url, TIMEOUT)
        assert "only http and https" in str(refused.value) or "is not allowed" in str(refused.value)


def test_a_redirect_to_what_is_not_an_address_is_refused_in_a_sentence() -> None:
    with redirecting("http://[x") as url, pytest.raises(ServiceError, match="redirects to what is not an address"):
        redirects.open_url(url, TIMEOUT)


@pytest.mark.parametrize(
    "target", ["http://93.184.216.34/x", "http://[2606:2800:220:1::1]/x", "http://[64:ff9b::93.184.216.34]/x"]
)
def test_a_redirect_within_the_internet_is_followed(target: str) -> None:
    """By way of a gateway from IPv6 to IPv4, too."""
    assert redirects._refusal("93.184.216.35", target) is None


def test_a_private_address_of_ip_6_may_redirect_to_another() -> None:
    assert redirects._refusal("::1", "http://[::1]/x") is None


@pytest.mark.parametrize(
    "target",
    [
        *(
            "http://127.0.0.1/x",
            "http://localhost/x",
            "http://10.0.0.1/x",
            "http://169.254.169.254/latest",
            "http://0/x",
        ),
        *("http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://2130706433/x", "http://[fe80::1]/x"),
        *("http://0x7f.1/x", "http://0177.0.0.1/x", "http://127.1/x", "http://224.0.0.1/x", "http://[ff02::1]/x"),
        *("http://[::127.0.0.1]/x", "http://[64:ff9b::a9fe:a9fe]/x", "http://[64:ff9b:1::7f00:1]/x"),
        *("http://[2002:7f00:1::]/x", "http://[fec0::1]/x", "http://[fd00::1]/x"),
        "http://inside.example/x",
    ],
)
def test_a_redirect_from_the_internet_into_a_private_network_is_refused(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address is said to be one of the internet; names are looked up as the download does."""
    known = {"outside.example": "93.184.216.34", "inside.example": "192.168.0.7"}
    look_up = socket.getaddrinfo

    def looked_up(host: str, *arguments: object, **options: object) -> object:
        return look_up(known.get(host, host), *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    assert redirects._refusal("outside.example", target) is not None
    assert redirects._refusal("outside.example", "https://outside.example/x") is None
    assert redirects._refusal("127.0.0.1", target) is None
