"""Requests enter an engine in a fair order, within its slots and its cache, and none is lost."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from deepseek_math.gate import Gate

pytestmark = pytest.mark.unit


async def worker(gate: Gate, name: str, tokens: int, entered: list[str], leave: asyncio.Event) -> None:
    async with gate.enter(tokens, name[0] if len(name) == 2 else None):  # "v1" and "v2" are one prediction's
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


async def test_when_a_large_one_leaves_the_line_those_behind_it_enter_at_once() -> None:
    gate, entered = Gate(8, 100), list[str]()
    leave = asyncio.Event()
    sizes = {"first": 60, "large": 90, "small": 10}
    tasks = [asyncio.create_task(worker(gate, name, size, entered, leave)) for name, size in sizes.items()]
    await settle()
    tasks[1].cancel()
    await settle()
    assert entered == ["first", "small"]
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not gate._at_work  # nobody is remembered for ever
    assert not gate._line


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


async def test_predictions_take_turns_however_many_samples_each_has() -> None:
    gate, entered = Gate(2, 100), list[str]()
    leave = {name: asyncio.Event() for name in ["v1", "v2", "v3", "v4", "a", "b", "w1", "w2"]}
    tasks = [asyncio.create_task(worker(gate, name, 1, entered, leave[name])) for name in leave]
    await settle()
    assert entered == ["v1", "v2"]  # nobody else was there
    for leaving, next_one in (("v1", "a"), ("v2", "v3"), ("a", "b"), ("v3", "v4"), ("b", "w1"), ("v4", "w2")):
        leave[leaving].set()
        await settle()
        assert entered[-1] == next_one, leaving
    for event in leave.values():
        event.set()
    await asyncio.gather(*tasks)
    assert (gate.running, gate.reserved, gate.waiting) == (0, 0, 0)


async def test_a_request_takes_whole_pages() -> None:
    gate = Gate(8, 64, page=16)
    async with gate.enter(17), gate.enter(16):
        assert gate.reserved == 48
        async with gate.enter(1):
            fourth = gate.enter(1)
            entering = asyncio.create_task(fourth.__aenter__())
            await settle()
            assert (gate.running, gate.reserved, gate.waiting) == (3, 64, 1)
        await entering
        assert (gate.running, gate.reserved, gate.waiting) == (3, 64, 0)
        await fourth.__aexit__(None, None, None)
    assert gate.reserved == 0


async def test_single_requests_that_keep_coming_do_not_starve_a_vote() -> None:
    """With one slot, and a new single request for each that ends, the vote still gets its turns."""
    gate, entered = Gate(1, 100), list[str]()
    ended = asyncio.Event()

    async def single(number: int) -> None:
        async with gate.enter(1):
            entered.append("single")
            await asyncio.sleep(0)
        if not ended.is_set() and number < 1000:
            tasks.append(asyncio.create_task(single(number + 1)))

    async def sample(owner: object) -> None:
        async with gate.enter(1, owner):
            entered.append("vote")
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(single(0)), asyncio.create_task(single(0))]
    await settle()
    vote = object()
    await asyncio.gather(*(sample(vote) for _ in range(20)))
    ended.set()
    await settle()
    await asyncio.gather(*tasks)
    assert entered.count("vote") == 20
    assert entered.count("single") < 100
