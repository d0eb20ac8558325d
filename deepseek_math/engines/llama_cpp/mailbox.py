"""From an engine's threads to the event loop: few wake-ups for many tokens."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PERIOD = 1 / 30  # seconds: more chunks help no reader, and waking the loop costs more than all it does with a token


class Mailbox:
    """Calls functions on the event loop for other threads: at once where it has been idle, else every `PERIOD`.

    Make it on the event loop; `post` from any thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._posts: deque[tuple[Callable[[Any], object], object]] = deque()
        self._ticking = False  # the loop is going to look by itself

    def post(self, take: Callable[[Any], object], item: object, *, urgent: bool = False) -> None:
        """Has the loop call `take(item)`, which must not raise, in the order of the posts. An urgent one takes the
        others along. Nothing happens once the loop is closed."""
        self._posts.append((take, item))
        if urgent or not self._ticking:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        some = bool(self._posts)
        while self._posts:
            take, item = self._posts.popleft()
            take(item)
        if some and not self._ticking:
            self._ticking = True
            self._loop.call_later(PERIOD, self._tick)

    def _tick(self) -> None:
        self._ticking = False  # first: whoever posts from here on wakes the loop
        self._hand_out()
