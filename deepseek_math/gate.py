"""The line before an engine: requests enter in a fair order, while there are slots and cache for them."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil

Waiter = tuple[int, int, asyncio.Future[None]]  # number in the order of arrival, tokens, set when it may enter


class Gate:
    """Admits requests within `slots` requests and `tokens` tokens of KV cache at once, in whole pages of `page` tokens.

    Next is a request of the owner who has the fewest at work, and of those the one that came first: a single request
    waits for no more than one sample of a vote. A large request whose turn it is is waited for, never overtaken, so
    it can't starve; nor can an owner, who has either something at work or the next turn among those without.
    Use from one event loop.
    """

    def __init__(self, slots: int, tokens: int, page: int = 1) -> None:
        self.slots = slots
        self.tokens = tokens
        self.page = page
        self.reserved = 0
        self._at_work: Counter[object] = Counter()  # requests by owner
        self._line: dict[object, deque[Waiter]] = {}  # by owner, none empty
        self._arrivals = 0

    @property
    def running(self) -> int:
        return self._at_work.total()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._line.values()))

    @asynccontextmanager
    async def enter(self, tokens: int, owner: object = None) -> AsyncIterator[None]:
        """Waits for a slot and for `tokens` (at most `self.tokens`) of cache; gives both back at the end.

        `owner` stands for the prediction that the request is part of; None for one of its own.
        """
        assert tokens <= self.tokens, (tokens, self.tokens)
        tokens = ceil(tokens / self.page) * self.page
        owner = owner or object()
        turn = asyncio.get_running_loop().create_future()
        waiter = (self._arrivals, tokens, turn)
        self._arrivals += 1
        self._line.setdefault(owner, deque()).append(waiter)
        self._admit()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self.reserved -= tokens
                self._at_work[owner] -= 1
                if not self._at_work[owner]:
                    del self._at_work[owner]
            elif waiter in self._line.get(owner, ()):
                self._leave(owner, waiter)
            self._admit()

    def _admit(self) -> None:
        while self._line:
            owner = min(self._line, key=lambda owner: (self._at_work[owner], self._line[owner][0][0]))
            waiter = _, tokens, turn = self._line[owner][0]
            if turn.cancelled():  # its task has not run again yet
                self._leave(owner, waiter)
                continue
            if self.running == self.slots or self.reserved + tokens > self.tokens:
                return
            self._leave(owner, waiter)
            self._at_work[owner] += 1
            self.reserved += tokens
            turn.set_result(None)

    def _leave(self, owner: object, waiter: Waiter) -> None:
        self._line[owner].remove(waiter)
        if not self._line[owner]:
            del self._line[owner]
