"""Several streams as one, in whatever order they come."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")


async def merged(streams: Sequence[AsyncGenerator[Item, None]], silence: float) -> AsyncGenerator[Item | None, None]:
    """Items of all streams as they come, and None after each `silence` of so many seconds.

    The first fault of a stream ends all others and is raised, as does closing this early.
    """
    arrived: asyncio.Queue[Item | asyncio.Task[None]] = asyncio.Queue()

    async def pump(stream: AsyncGenerator[Item, None]) -> None:
        async with aclosing(stream):
            async for item in stream:
                arrived.put_nowait(item)

    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    for task in tasks:
        task.add_done_callback(arrived.put_nowait)
    at_work = len(tasks)
    try:
        while at_work:
            try:
                async with asyncio.timeout(silence):
                    item = await arrived.get()
            except TimeoutError:
                yield None
                continue
            if isinstance(item, asyncio.Task):
                item.result()
                at_work -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
