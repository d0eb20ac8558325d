"""A request to a remote engine that is cancelled at any moment leaves no socket behind, and the server hears of it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import psutil
import pytest

from deepseek_math.engines.remote.completions_client import CompletionsServer
from deepseek_math.engines.remote.transport import CancelSafeTransport

REQUESTS = 300
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n"  # the stream goes on


class Server:
    def __init__(self) -> None:
        self.url = ""
        self.open = 0
        self.asked = asyncio.Event()
        self.answers = True

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked.set()
            await asyncio.sleep(0.002)
            if self.answers:
                writer.write(ANSWER)
            await reader.read()  # up to where the client closes it
        writer.close()
        self.open -= 1


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield server


async def until_closed(server: Server) -> None:
    async with asyncio.timeout(5):
        while server.open:  # noqa: ASYNC110  # connections still come while it waits
            await asyncio.sleep(0.01)


async def test_requests_cancelled_at_any_moment_leave_no_descriptor() -> None:
    """A plain httpx client loses one in thirty of these."""
    moments = random.Random(1)
    async with running() as server:
        client = CompletionsServer(server.url, None)
        before = psutil.Process().num_fds()

        async def read() -> None:
            async for _ in client.chunks({}):
                pass

        for number in range(REQUESTS):
            task = asyncio.create_task(read() if number % 2 else client.healthy())
            for _ in range(moments.randrange(40)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await until_closed(server)  # before the client is closed, which would hide the loss
        assert psutil.Process().num_fds() <= before
        await client.close()


async def test_a_cancel_closes_the_connection_though_no_answer_has_come() -> None:
    """A server may read a long prompt before it answers at all: it has to hear that nobody waits for it."""
    async with running() as server:
        server.answers = False
        async with httpx.AsyncClient(transport=CancelSafeTransport(httpx.AsyncHTTPTransport())) as client:
            task = asyncio.create_task(client.get(server.url))
            await server.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_closed(server)
