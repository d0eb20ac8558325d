"""A server on 127.0.0.1 that takes webhooks, and hands out what each prediction ended with."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebhookReceiver:
    def __init__(self) -> None:
        self._ended: dict[str, dict[str, Any]] = {}
        self._arrived = threading.Condition()
        self.url = ""

    def take(self, prediction: dict[str, Any]) -> None:
        with self._arrived:
            self._ended[prediction["id"]] = prediction
            self._arrived.notify_all()

    def wait_for(self, name: str, seconds: float) -> dict[str, Any] | None:
        """The prediction of that id as its webhook `completed` tells it; None where none has come in time."""
        with self._arrived:
            self._arrived.wait_for(lambda: name in self._ended, seconds)
            return self._ended.pop(name, None)


@contextmanager
def receiving() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
