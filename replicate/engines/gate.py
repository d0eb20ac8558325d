"""The line before an engine: requests enter in the order they came, while there are slots and cache for them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Admits requests first come, first served, within `slots` requests and `tokens` tokens of KV cache at once.

    A large request at the head of the line is waited for, never overtaken, so it can't starve.
    Use from one event loop.
    """

    def __init__(self, slots: int, tokens: int) -> None:
        self.slots = slots
        self.tokens = tokens
        self.running = 0
        self.reserved = 0
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._line)

    @asynccontextmanager
    async def enter(self, tokens: int) -> AsyncIterator[None]:
        """Waits for a slot and for `tokens` (at most `self.tokens`) of cache; gives both back at the end."""
        assert tokens <= self.tokens, (tokens, self.tokens)
        turn = asyncio.get_running_loop().create_future()
        place = (tokens, turn)
        self._line.append(place)
        self._admit()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self.running -= 1
                self.reserved -= tokens
            elif place in self._line:
                self._line.remove(place)
            self._admit()

    def _admit(self) -> None:
        while self._line:
            tokens, turn = self._line[0]
            if turn.cancelled():  # its task has not run again yet
                self._line.popleft()
                continue
            if self.running == self.slots or self.reserved + tokens > self.tokens:
                return
            self._line.popleft()
            self.running += 1
            self.reserved += tokens
            turn.set_result(None)
