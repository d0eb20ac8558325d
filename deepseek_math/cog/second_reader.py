"""Ends a stream that nobody reads any more, by reading along for a moment.

coglet (0.23.1) loses a cancel that comes after it has taken a prediction and before its worker has begun it
(docs/cog-faults.md). The prediction then runs to its end, though its client has gone. Only the server's own process
knows who reads, and it tells nobody. But when a stream's last reader leaves, it cancels the prediction, whoever that
reader is. So one look suffices: it stops a stream without readers, and changes nothing for one that is read, for a
plain request or for an asynchronous prediction. A plain request whose cancel was lost is not found.
"""

import asyncio
import contextvars
import logging
import os
from contextlib import closing
from urllib.parse import quote

log = logging.getLogger(__name__)

TIMEOUT = 10.0  # seconds
HEADERS = "Accept: text/event-stream\r\nContent-Length: 0\r\n"


def prediction_id() -> str | None:
    """The id of the prediction that the caller runs in; None outside of one, or where coglet keeps it elsewhere."""
    for variable, value in contextvars.copy_context().items():
        if variable.name == "_coglet_prediction_id":
            return str(value)
    return None


async def join_and_leave(prediction: str) -> None:
    """Asks for the stream of a prediction at work, and hangs up as soon as it comes.

    An id that is no longer at work is answered with 422, since this request has no input.
    """
    port = int(os.environ.get("PORT", "5000"))  # as Cog's server reads it
    request = f"PUT /predictions/{quote(prediction, safe='')} HTTP/1.1\r\nHost: 127.0.0.1\r\n{HEADERS}\r\n"
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(request.encode())
                await reader.readline()
    except OSError as error:  # TimeoutError too
        log.debug("the server did not say whether prediction %s has a reader: %r", prediction, error)
