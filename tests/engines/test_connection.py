"""The connection that completions come over: framing, ends, reuse, and how often its reader is woken."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from deepseek_math.engines.remote.connection import BrokenOff, Connections

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Piece = bytes | float  # what the server writes at once, or seconds of silence


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


class Server:
    """Answers each request with the same pieces."""

    def __init__(self, pieces: Sequence[Piece], then_closes: bool) -> None:
        self.pieces, self.then_closes = pieces, then_closes
        self.connections = 0
        self.requests: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.pieces:
                    if isinstance(piece, float):
                        await asyncio.sleep(piece)
                    else:
                        writer.write(piece)
                        await writer.drain()
                if self.then_closes:
                    break
        writer.close()


@asynccontextmanager
async def served(
    *pieces: Piece, then_closes: bool = False, socket: Path | None = None
) -> AsyncIterator[tuple[Server, Connections]]:
    server = Server(pieces, then_closes)
    if socket is None:
        listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/completions"
    else:
        listening = await asyncio.start_unix_server(server.answer, str(socket))
        url = "http://child/v1/completions"
    connections = Connections(url, {"Authorization": "Bearer k"}, ssl.create_default_context(), 5.0, socket)
    async with listening:
        yield server, connections
        connections.close()


async def body(connections: Connections, period: float = 0.0) -> list[bytes]:
    """The answer's pieces, as its reader gets them."""
    pieces = []
    async with connections.post(b"{}", period) as connection:
        await connection.headers()
        while piece := await connection.read():
            pieces.append(piece)
    return pieces


@pytest.mark.parametrize(
    ("pieces", "then_closes"),
    [
        ([CHUNKED, chunk(b"ab"), chunk(b"c"), b"0\r\n\r\n"], False),
        ([*(bytes([byte]) for byte in CHUNKED + chunk(b"abc")), b"0\r\n", b"\r\n"], False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", 0.01, b"c"], False),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"], False),
        ([b"HTTP/1.1 200 OK\r\n\r\nab", 0.01, b"c"], True),  # it ends with the connection
    ],
)
async def test_a_body_is_whole_however_it_is_framed(pieces: Sequence[Piece], then_closes: bool) -> None:
    async with served(*pieces, then_closes=then_closes) as (server, connections):
        for _ in range(2):
            assert b"".join(await body(connections)) == b"abc"
        assert server.connections == (2 if then_closes else 1)
        assert server.requests[0].startswith(b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nAuthorization: Bearer k\r\n" in server.requests[0]


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"HTTP/1.1 200"],
        [CHUNKED, chunk(b"ab")],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [CHUNKED, b"zz\r\nno size\r\n"],
    ],
)
async def test_an_answer_that_is_cut_or_no_http_is_told_apart_from_a_whole_one(pieces: Sequence[Piece]) -> None:
    async with served(*pieces, then_closes=True) as (_, connections):
        with pytest.raises(BrokenOff):
            await asyncio.wait_for(body(connections), 5)


async def test_a_reader_is_woken_once_a_period_and_at_once_after_silence() -> None:
    """A token every millisecond: without this a wake-up for each."""
    tokens = [piece for _ in range(60) for piece in (chunk(b"x"), 0.001)]
    async with served(CHUNKED, *tokens, b"0\r\n\r\n") as (_, connections):
        pieces = await body(connections, period=10.0)
        assert len(pieces) == 2  # the first token, and all others at the end
        assert len(b"".join(pieces)) == 60
    async with served(CHUNKED, chunk(b"a"), 0.3, chunk(b"b"), 0.3, b"0\r\n\r\n") as (_, connections):
        assert await body(connections, period=0.1) == [b"a", b"b"]


async def test_a_child_is_reached_by_its_socket(tmp_path: Path) -> None:
    async with served(CHUNKED, chunk(b"abc"), b"0\r\n\r\n", socket=tmp_path / "s") as (server, connections):
        assert b"".join(await body(connections)) == b"abc"
        assert b"\r\nHost: child\r\n" in server.requests[0]


async def test_leaving_before_the_end_closes_the_connection_and_the_next_one_is_new() -> None:
    async with served(CHUNKED, chunk(b"a"), 0.05, chunk(b"b"), b"0\r\n\r\n") as (server, connections):
        async with connections.post(b"{}", 0.0) as connection:
            await connection.headers()
            assert await connection.read() == b"a"
        assert not connection.open
        assert b"".join(await body(connections)) == b"ab"
        assert server.connections == 2


async def test_nobody_there_is_an_os_error() -> None:
    connections = Connections("http://127.0.0.1:1/", {}, ssl.create_default_context(), 5.0, None)
    with pytest.raises(ConnectionRefusedError):
        await body(connections)
