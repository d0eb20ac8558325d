"""The pool of sandboxes that a file's tests share, where they ask for nothing special of it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from deepseek_math.programs.sandbox.pool import Sandboxes


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandboxes() -> AsyncIterator[Sandboxes]:
    running = Sandboxes(2)
    await running.require()
    yield running
    await running.close()
