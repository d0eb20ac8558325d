"""The wait for a server that is not ready yet, at the service's start: it has all the time that the container is given.

vLLM takes a minute and more to load, llama-server answers 503 while it loads, and in a cluster the service may be there
before the name of the other can be looked up.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from deepseek_math.engines.remote.completions_client import CompletionsServer, Passing

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between two looks
TELL = 30.0  # seconds between two lines of the log that say the same
NOT_YET = ("engine_unreachable", "engine_busy")  # faults of a server that is on its way

Answer = TypeVar("Answer")


async def when_ready(server: CompletionsServer, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `ask` returns, once the server is ready for it. Raises what waiting does not mend."""
    began = time.monotonic()
    said, told = "", began
    while True:
        state = await server.state()
        if state is None:
            try:
                return await ask()
            except Passing as fault:
                if fault.code not in NOT_YET:
                    raise
                state = fault.message
        now = time.monotonic()
        if state != said or now >= told + TELL:
            said, told = state, now
            log.info("waiting for %s, %.0f s so far: %s", server.where, now - began, state)
        await asyncio.sleep(LOOK)
