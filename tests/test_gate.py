"""Requests enter an engine in the order they came, within its slots and its cache, and none is lost."""

import asyncio
from contextlib import AsyncExitStack

from replicate.engines.gate import Gate


async def worker(gate: Gate, name: str, tokens: int, entered: list[str], leave: asyncio.Event) -> None:
    async with gate.enter(tokens):
        entered.append(name)
        await leave.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_requests_enter_in_order_as_slots_become_free() -> None:
    gate, entered = Gate(2, 100), list[str]()
    leave = {name: asyncio.Event() for name in "abcd"}
    tasks = {name: asyncio.create_task(worker(gate, name, 10, entered, leave[name])) for name in "abcd"}
    await settle()
    assert entered == ["a", "b"]
    assert gate.waiting == 2
    leave["b"].set()
    await settle()
    assert entered == ["a", "b", "c"]
    leave["a"].set()
    await settle()
    assert entered == ["a", "b", "c", "d"]
    leave["c"].set()
    leave["d"].set()
    await asyncio.gather(*tasks.values())
    assert (gate.running, gate.reserved, gate.waiting) == (0, 0, 0)


async def test_a_large_request_is_not_overtaken() -> None:
    gate, entered = Gate(8, 100), list[str]()
    leave = asyncio.Event()
    sizes = {"first": 60, "large": 90, "small": 10}
    tasks = [asyncio.create_task(worker(gate, name, size, entered, leave)) for name, size in sizes.items()]
    await settle()
    assert entered == ["first"]
    leave.set()
    await asyncio.gather(*tasks)
    assert entered == ["first", "large", "small"]


async def test_one_who_leaves_the_line_holds_nobody_up() -> None:
    gate, entered = Gate(1, 100), list[str]()
    leave = asyncio.Event()
    tasks = [asyncio.create_task(worker(gate, name, 1, entered, leave)) for name in "abc"]
    await settle()
    tasks[1].cancel()
    await settle()
    assert gate.waiting == 1
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert entered == ["a", "c"]
    assert (gate.running, gate.reserved, gate.waiting) == (0, 0, 0)


async def test_cancelling_in_the_same_moment_as_being_admitted_gives_the_slot_back() -> None:
    for cancel_first in (True, False):
        gate, entered = Gate(1, 100), list[str]()
        leave = asyncio.Event()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(gate.enter(1))
            waiting = asyncio.create_task(worker(gate, "waiting", 1, entered, leave))
            await settle()
            if cancel_first:
                waiting.cancel()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (gate.running, gate.reserved, gate.waiting) == (0, 0, 0)
