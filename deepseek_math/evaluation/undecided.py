"""Comparisons of answers that failed: each is tried once more, and one that fails again is noted.

A failure (a comparison that took too long on a busy machine, a worker that died) is not a verdict, so it must be told
from a wrong answer.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from deepseek_math.answers.judging import judge

RETRY_SECONDS = 1.0  # before the second try

_reasons: ContextVar[list[str] | None] = ContextVar("reasons", default=None)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collects why comparisons inside failed twice; those of other tasks go to their own list."""
    found: list[str] = []
    before = _reasons.set(found)
    try:
        yield found
    finally:
        _reasons.reset(before)


def note(reason: str) -> None:
    """Adds `reason` to the list of the `noted` block that this runs in, if there is one."""
    found = _reasons.get()
    if found is not None and reason not in found:
        found.append(reason)


async def equivalent(a: str, b: str) -> bool:
    """The verdict of the service's own judge; False where two comparisons failed."""
    verdict = await judge().compare(a, b)
    if verdict.reason:
        await asyncio.sleep(RETRY_SECONDS)
        verdict = await judge().compare(a, b, again=True)
    if verdict.reason:
        note(verdict.reason)
    return verdict.equal
