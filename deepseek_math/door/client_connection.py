"""The connection to a client: its body, and whether it is still there."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from deepseek_math.door.refusals import Refused

MOST_BYTES = 16 * 2**20  # of a body; the service's texts have 100,000 characters at most
Result = TypeVar("Result")


async def body_of(request: Request) -> bytes:
    """Raises Refused for one that is compressed or too long."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        message = f"The body is sent as {encoding[:40]!r}. Send it as it is, without Content-Encoding."
        raise Refused(415, "encoding_not_offered", message)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Refused(413, "body_too_long", f"The body has over {MOST_BYTES} bytes. Send less.")
    return bytes(body)


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """What `work` gives; it is ended where the client is gone before that. Raises ClientDisconnect then."""
    working = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
