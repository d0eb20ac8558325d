"""What both graders compare formulas with: the service's judge, asked once more where a comparison failed.

A failure (a comparison that took too long on a busy machine, a worker that died) is no verdict, so it is noted.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from deepseek_math.answers.judging import judge

PAUSE = 1.0  # seconds before the second try

_failures: ContextVar[list[str] | None] = ContextVar("failures", default=None)


@contextmanager
def failures() -> Iterator[list[str]]:
    """Collects why comparisons inside failed twice; those of other tasks go to their own list."""
    found: list[str] = []
    before = _failures.set(found)
    try:
        yield found
    finally:
        _failures.reset(before)


async def equivalent(a: str, b: str) -> bool:
    """As the service says; False where two comparisons failed."""
    verdict = await judge().compare(a, b)
    if verdict.reason:
        await asyncio.sleep(PAUSE)
        verdict = await judge().compare(a, b, again=True)
    if verdict.reason and (found := _failures.get()) is not None and verdict.reason not in found:
        found.append(verdict.reason)
    return verdict.equal
