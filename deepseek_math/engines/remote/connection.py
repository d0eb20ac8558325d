"""HTTP connections for streamed completions that cost little for each token.

httpx (0.28.1, over h11 and anyio) takes some 150 µs of processor time for each chunk of a stream. Here llhttp, the
parser of Node and uvicorn, reads the socket in large pieces (httptools), and whoever waits for the text is woken at
once where it has been idle, else once a period. All other calls are httpx's.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httptools
import httpx

BUFFER = 1 << 16  # bytes read at once
KEPT_SECONDS = 4.0  # that an idle connection is used again: uvicorn closes it after 5


class BrokenOff(Exception):
    """A connection ended in the middle of an answer, or the answer is no HTTP. The text says how."""


class Connection(asyncio.BufferedProtocol):
    """One connection, for one request after another. Use from one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.idle_since = 0.0
        self._loop = loop
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._lost: BrokenOff | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._begin(0.0)

    def _begin(self, period: float) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._period = period
        self._headers: list[tuple[bytes, bytes]] = []
        self._arrived: list[bytes] = []
        self._answered = self._whole = self._kept = False
        self._read_at = 0.0  # when the reader got something, last: the first text comes at once

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, size: int) -> memoryview:
        return self._view

    def buffer_updated(self, count: int) -> None:
        try:
            self._parser.feed_data(self._view[:count])
        except httptools.HttpParserError as error:
            self._lost = BrokenOff(f"its answer is no HTTP: {error}")
            self._transport.abort()
        if self._waiting is not None:
            self._wake_when_due()

    def eof_received(self) -> None:
        pass  # the transport closes, and connection_lost follows

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered and not self._whole and error is None and self._ends_with_connection():
            self._whole = True
        self._lost = self._lost or BrokenOff(str(error) if error else "it closed the connection")
        self._wake()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._answered = self.status >= 200  # before that it is only on its way
        if not self._answered:
            self._headers.clear()

    def on_body(self, body: bytes) -> None:
        self._arrived.append(body)

    def on_message_complete(self) -> None:
        if self._answered:
            self._whole = True
            self._kept = bool(self._parser.should_keep_alive())

    # What a request does

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on it."""
        return self._lost is None and self._whole and self._kept

    @property
    def open(self) -> bool:
        return self._lost is None

    def send(self, request: bytes, period: float) -> None:
        """Begins a request; its reader is woken every `period` seconds at most."""
        self._begin(period)
        self._transport.write(request)

    async def headers(self) -> httpx.Headers:
        """Of the answer, once they are there; `status` beside them. Raises BrokenOff."""
        while not self._answered:
            if self._lost is not None:
                raise self._lost
            await self._more()
        return httpx.Headers(self._headers)

    async def read(self) -> bytes:
        """What has come of the body since the last call; empty at its end. Raises BrokenOff."""
        while not self._arrived and not self._whole:
            if self._lost is not None:
                raise self._lost
            await self._more()
        body = b"".join(self._arrived)
        self._arrived.clear()
        self._read_at = self._loop.time()
        return body

    def abort(self) -> None:
        """Closes it at once, which the server notices when it writes next."""
        self._lost = self._lost or BrokenOff("it was given up")
        self._transport.abort()

    async def _more(self) -> None:
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake_when_due(self) -> None:
        if self._whole or self._lost is not None:
            self._wake()
        elif self._timer is None:
            wait = self._read_at + self._period - self._loop.time()
            if wait <= 0:
                self._wake()
            else:
                self._timer = self._loop.call_later(wait, self._wake)

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _ends_with_connection(self) -> bool:
        told = {name.lower() for name, _ in self._headers}
        return not told & {b"content-length", b"transfer-encoding"}


class Connections:
    """Those to one server's call at `url`, for POST requests of JSON. Use from one event loop."""

    def __init__(
        self, url: str, headers: Mapping[str, str], tls: ssl.SSLContext, connect_seconds: float, socket: Path | None
    ) -> None:
        self.url = url
        parsed = httpx.URL(url)
        lines = [
            f"POST {parsed.raw_path.decode()} HTTP/1.1",
            f"Host: {parsed.netloc.decode()}",
            "Accept: text/event-stream",
            "Content-Type: application/json",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._head = "\r\n".join(lines).encode()
        self._host = parsed.raw_host.decode()
        self._port = parsed.port or (443 if parsed.scheme == "https" else 80)
        self._tls = tls if parsed.scheme == "https" else None
        self._socket = socket
        self._seconds = connect_seconds
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def post(self, body: bytes, period: float) -> AsyncIterator[Connection]:
        """An answer that is on its way. Leaving it before its end closes the connection.

        Raises OSError where there is no connection to be had (TimeoutError is one), BrokenOff where one ends.
        """
        request = b"%s\r\nContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body)
        connection = self._take() or await self._connect()
        try:
            connection.send(request, period)
            yield connection
        finally:
            if connection.reusable:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
            else:
                connection.abort()

    def close(self) -> None:
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _take(self) -> Connection | None:
        """An idle connection, the one used last; those that are too old are closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.open and time.monotonic() - connection.idle_since < KEPT_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._seconds):
            if self._socket is not None:
                _, connection = await loop.create_unix_connection(lambda: Connection(loop), str(self._socket))
                return connection
            name = self._host if self._tls else None
            _, connection = await loop.create_connection(
                lambda: Connection(loop), self._host, self._port, ssl=self._tls, server_hostname=name
            )
            return connection
