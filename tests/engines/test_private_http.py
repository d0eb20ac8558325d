"""A request to llama.cpp's socket that nobody waits for any more leaves no socket behind."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deepseek_math.engines.llama_cpp.private_http import PrivateHTTP

REQUESTS = 300


@asynccontextmanager
async def server(folder: Path, status: int = 200) -> AsyncIterator[str]:
    """A small HTTP server on a Unix socket, which takes a moment to answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.002)
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}" % status)
        await writer.drain()
        writer.close()

    socket = str(folder / "http.sock")
    running = await asyncio.start_unix_server(answer, socket)
    async with running:
        yield socket


async def test_requests_cancelled_at_any_moment_leave_no_descriptor(tmp_path: Path) -> None:
    """A plain httpx client loses one in five of these."""
    moments = random.Random(1)
    async with server(tmp_path) as socket:
        http = PrivateHTTP(socket)
        before = psutil.Process().num_fds()
        for _ in range(REQUESTS):
            task = asyncio.create_task(http.request("GET", "/"))
            for _ in range(moments.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.3)  # before it is closed, which would hide the loss
        assert psutil.Process().num_fds() <= before
        await http.close()


async def test_a_status_that_is_not_a_success_is_an_error(tmp_path: Path) -> None:
    async with server(tmp_path, status=503) as socket:
        http = PrivateHTTP(socket)
        with pytest.raises(httpx.HTTPStatusError):
            await http.request("GET", "/health")
        await http.close()
