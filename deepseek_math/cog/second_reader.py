"""Ends a stream that nobody reads any more, by reading along for a moment.

coglet (0.23.1) loses a cancel that comes after it has taken a prediction and before its worker has begun it
(docs/cog-faults.md). The prediction then runs to its end, though its client has gone. Only the server's own process
knows who reads, and it tells nobody. But when a stream's last reader leaves, it cancels the prediction, whoever that
reader is. So one look suffices: it stops a stream without readers, and changes nothing for one that is read, for a
plain request or for an asynchronous prediction. A plain request whose cancel was lost is not found.
"""

import contextvars
import logging
import os
from urllib.parse import quote

import httpx

log = logging.getLogger(__name__)

TIMEOUT = 10.0  # seconds


def prediction_id() -> str | None:
    """The id of the prediction that the caller runs in; None outside of one, or where coglet keeps it elsewhere."""
    for variable, value in contextvars.copy_context().items():
        if variable.name == "_coglet_prediction_id":
            return str(value)
    return None


async def join_and_leave(prediction: str) -> None:
    """Reads the stream of a prediction at work up to its first bytes.

    An id that is no longer at work is answered with 422, since the request has no input.
    """
    url = f"http://127.0.0.1:{os.environ.get('PORT', '5000')}/predictions/{quote(prediction, safe='')}"
    try:
        # verify=False: nothing is encrypted here, and to load certificates would hold the event loop for 50 ms
        async with (
            httpx.AsyncClient(trust_env=False, verify=False, timeout=TIMEOUT) as session,
            session.stream("PUT", url, headers={"Accept": "text/event-stream"}),
        ):
            pass
    except httpx.HTTPError as error:
        log.debug("the server did not say whether prediction %s has a reader: %r", prediction, error)
