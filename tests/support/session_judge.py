"""One comparer of answers for a whole session: its workers take seconds of imports wherever some start."""

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from deepseek_math.answers.judging import Judge, Verdict

Found = TypeVar("Found")


class SessionJudge:
    """A real Judge on an event loop of its own, in a thread. It outlives every loop that asks it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._judge = Judge()

    async def _there(self, asked: Coroutine[Any, Any, Found]) -> Found:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._loop))

    async def start(self) -> None:
        await self._there(self._judge.start())

    def begin(self) -> None:
        self._loop.call_soon_threadsafe(self._judge.begin)

    async def equivalent(self, a: str, b: str) -> bool:
        return await self._there(self._judge.equivalent(a, b))

    async def compare(self, a: str, b: str, again: bool = False) -> Verdict:
        return await self._there(self._judge.compare(a, b, again))

    async def close(self) -> None:
        """Its workers end with the session, when their input closes."""


@cache
def session_judge() -> SessionJudge:
    return SessionJudge()
