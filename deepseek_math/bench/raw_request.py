"""A prediction's request on a socket of its own, which can be dropped at any moment."""

import json
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 120.0  # seconds without an answer


class RawRequest:
    """Sends a prediction; leaving the block closes the connection, whatever has been answered."""

    def __init__(self, url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        server, content = urlsplit(url), json.dumps(body).encode()
        fields = {
            "Host": server.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **(headers or {}),
        }
        lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
        self._bytes = f"POST /predictions HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + content
        self._socket = socket.create_connection((server.hostname, server.port or 80), timeout=TIMEOUT)

    def __enter__(self) -> "RawRequest":
        self._socket.sendall(self._bytes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def read_headers(self) -> int:
        """Waits for the headers; the answer's status."""
        with self._socket.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            while answer.readline().strip():
                pass
        return status
