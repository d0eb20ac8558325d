"""Whether llama.cpp works while a request hears nothing from it.

At a 7B's size on few cores a prompt may wait for minutes while those of others are read, and on a machine that is busy
with other work one step of 64 tokens took over 120 s (2 cores, a load of 20). Neither is a reason to give a request up.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from types import TracebackType

TICK = 15.0  # seconds between two looks
BUSY = 0.03  # of a core: what this process uses at least while llama.cpp computes, however busy the machine is
SLOWEST_STEP = 900.0  # seconds without a step of anybody's after which also a busy engine is taken for dead


@dataclass(slots=True)
class Steps:
    """Chunks that llama.cpp has sent so far: to one request, and to all."""

    own: int
    all: int
    reading: bool  # the request's prompt: one that generates is part of every step


class Watch:
    """Calls `tell` at each look before which the request has heard nothing though llama.cpp works: on the prompts of
    others, or on a long step.

    It costs a timer every TICK, and nothing for a token. Use it on the event loop, as a block.
    """

    def __init__(self, count: Callable[[], Steps], tell: Callable[[], None]) -> None:
        self._count, self._tell = count, tell

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._steps, self._processor, self._stepped = self._count(), process_time(), self._loop.time()
        self._timer = self._loop.call_later(TICK, self._look)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        before, self._steps = self._steps, self._count()
        used, self._processor = process_time() - self._processor, process_time()
        others = self._steps.all != before.all
        if others:
            self._stepped = self._loop.time()
        long_step = used >= BUSY * TICK and self._loop.time() - self._stepped < SLOWEST_STEP
        works = self._steps.reading if others else long_step
        if works and self._steps.own == before.own:
            self._tell()
        self._timer = self._loop.call_later(TICK, self._look)
