"""A download inside a house that has its own certificate authority and lets nothing out but by its proxy.

`tests/data/house` has the authority's certificate, and the hub's key and certificate for `hub.house.test`, valid until
2126. They guard nothing.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.support.exam_service import dsm
from tests.support.hostile_server import StandInHub
from tests.support.loopback import HOUSE, LoopbackServer, over_tls, running

HUB = "hub.house.test"  # a name that nobody but the proxy knows
FILES = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}", "model.safetensors": bytes(100_000)}
GGUF = {"m.gguf": b"GGUF" + bytes(100_000)}


class Proxy(LoopbackServer):
    """Passes on to `port` what is sent to the hub through a tunnel, and notes the names that it was asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(_Tunnel)
        self.port = port
        self.asked: list[str] = []


class _Tunnel(BaseHTTPRequestHandler):
    server: Proxy

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)
        with socket.create_connection(("127.0.0.1", self.server.port)) as hub:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(hub, self.connection))
            back.start()
            _pump(self.connection, hub)
            back.join()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    hub = over_tls(StandInHub("owner/model", FILES))
    hub.files |= {f"/{name}": data for name, data in GGUF.items()}
    with running(hub):
        yield hub


def fetched(name: str, folder: Path, proxy: Proxy, **environment: str) -> subprocess.CompletedProcess[str]:
    house = {
        "HF_ENDPOINT": f"https://{HUB}",
        "HTTPS_PROXY": proxy.url,
        "HF_TOKEN": "hf_house",
        "HF_HUB_DISABLE_XET": "1",
        "WEIGHTS_FOLDER": str(folder),
    }
    environment = os.environ | house | environment
    return subprocess.run(dsm("fetch", name), env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "files", "authorization"),
    [("hf://owner/model", FILES, "Bearer hf_house"), (f"https://{HUB}/m.gguf", GGUF, None)],
)
def test_a_download_goes_by_the_house_s_proxy_and_certificate(
    name: str, files: dict[str, bytes], authorization: str | None, tmp_path: Path, hub: StandInHub
) -> None:
    with running(Proxy(hub.server_address[1])) as proxy:
        done = fetched(name, tmp_path, proxy, SSL_CERT_FILE=str(HOUSE / "authority.pem"))
        assert done.returncode == 0, done.stderr
        found = Path(done.stdout.splitlines()[-1])
        folder = found if found.is_dir() else found.parent
        assert {name: (folder / name).read_bytes() for name in files} == files
        assert set(proxy.asked) == {f"{HUB}:443"}
        asked = [
            headers for _, path, headers in hub.requests if "agent-harnesses" not in path
        ]  # the hub's client's own
        sent = [{name.lower(): value for name, value in headers.items()} for headers in asked]
        assert {headers.get("authorization") for headers in sent} == {authorization}


@pytest.mark.parametrize("name", ["hf://owner/model", f"https://{HUB}/m.gguf"])
def test_a_certificate_that_nobody_vouches_for_is_refused_at_once_in_a_sentence(
    name: str, tmp_path: Path, hub: StandInHub
) -> None:
    with running(Proxy(hub.server_address[1])) as proxy:
        done = fetched(name, tmp_path, proxy)
        assert done.returncode == 1
        assert "certificate is not trusted here" in done.stderr
        assert "SSL_CERT_FILE names the file" in done.stderr
        assert "Traceback" not in done.stderr
        assert not hub.requests
        assert "trying again" not in done.stdout
