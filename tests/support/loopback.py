"""A real HTTP server on 127.0.0.1 in a thread of the test's own process."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

from deepseek_math.paths import ROOT


class LoopbackServer(ThreadingHTTPServer):
    """`closing` is set when the test is over: whatever stalls on purpose waits for it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


HOUSE = ROOT / "tests/data/house"  # a house's own certificate authority; see tests/checkpoints/test_house_network.py


Served = TypeVar("Served", bound=LoopbackServer)


@contextmanager
def running(server: Served) -> Iterator[Served]:
    """Serves until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


def over_tls(server: Served) -> Served:
    """The same server behind a certificate for `hub.house.test` that the house's own authority gave."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HOUSE / "hub.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server
