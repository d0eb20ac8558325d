"""HTTP to a llama.cpp inside this process, over its private Unix socket.

NOTE: httpx loses the socket of a request that is cancelled while it connects (httpx 0.28.1, httpcore 1.0.9: 300
cancelled requests left 245 entries in the pool). So a request that has begun is finished, whoever stops waiting for it.
"""

import asyncio
from typing import Any

import httpx

TIMEOUT = 30.0  # seconds


class PrivateHTTP:
    """Use from one event loop."""

    def __init__(self, socket: str) -> None:
        # One connection for each request: llama.cpp looks a hundred times a second whether a kept one has sent more.
        transport = httpx.AsyncHTTPTransport(uds=socket, limits=httpx.Limits(max_keepalive_connections=0))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://llama", timeout=TIMEOUT)
        self._requests: set[asyncio.Task[httpx.Response]] = set()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer, read to its end. Raises httpx.HTTPError, also for a status that is not a success."""
        request = asyncio.create_task(self._client.request(method, path, **options))
        self._requests.add(request)
        request.add_done_callback(self._finished)
        response = await asyncio.shield(request)
        return response.raise_for_status()

    def _finished(self, request: asyncio.Task[httpx.Response]) -> None:
        self._requests.discard(request)
        if not request.cancelled():
            request.exception()  # looked at: else asyncio logs the fault of a request that nobody waits for any more

    async def close(self) -> None:
        await asyncio.gather(*self._requests, return_exceptions=True)
        await self._client.aclose()
