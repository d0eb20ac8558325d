"""What threads post reaches the event loop whole, in order and soon, and wakes it seldom."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from deepseek_math.engines.llama_cpp.mailbox import PERIOD, Mailbox

pytestmark = pytest.mark.unit


async def test_nothing_is_lost_and_each_thread_keeps_its_order() -> None:
    mailbox, got, whole = Mailbox(), list[tuple[int, int]](), asyncio.Event()

    def take(item: tuple[int, int]) -> None:
        got.append(item)
        if len(got) == 8 * 5000:
            whole.set()

    def post_all(thread: int) -> None:
        for number in range(5000):
            mailbox.post(take, (thread, number), urgent=number % 100 == 0)

    with ThreadPoolExecutor(8) as threads:
        running = [asyncio.get_running_loop().run_in_executor(threads, post_all, thread) for thread in range(8)]
        await asyncio.gather(*running)
    async with asyncio.timeout(10):
        await whole.wait()
    for thread in range(8):
        assert [number for owner, number in got if owner == thread] == list(range(5000))


async def test_a_burst_wakes_the_loop_once_a_period_and_comes_whole_with_an_urgent_post() -> None:
    mailbox, ended = Mailbox(), asyncio.Event()
    arrivals: list[float] = []

    def take(number: int) -> None:
        arrivals.append(time.perf_counter())
        if number == 500:
            ended.set()

    def post_all() -> None:
        for number in range(500):
            mailbox.post(take, number)
            time.sleep(0.001)
        mailbox.post(take, 500, urgent=True)

    threading.Thread(target=post_all).start()
    async with asyncio.timeout(10):
        await ended.wait()
    assert len(arrivals) == 501
    batches = 1 + sum(later - earlier > PERIOD / 2 for earlier, later in pairwise(arrivals))
    assert 3 <= batches <= 2 + (arrivals[-1] - arrivals[0]) / PERIOD


async def test_after_a_pause_a_post_is_not_held_back() -> None:
    """Held up to the next of periods that went on they would take three quarters of one in the middle."""
    mailbox, waits = Mailbox(), list[float]()
    for _ in range(9):
        await asyncio.sleep(2.25 * PERIOD)
        came = asyncio.Event()
        began = time.perf_counter()
        threading.Thread(target=mailbox.post, args=(asyncio.Event.set, came)).start()
        await came.wait()
        waits.append(time.perf_counter() - began)
    assert sorted(waits)[4] < PERIOD / 2


async def test_an_urgent_post_is_not_held_back_and_takes_the_others_along() -> None:
    mailbox, waits = Mailbox(), list[float]()
    for _ in range(9):
        came, got = asyncio.Event(), list[str]()
        mailbox.post(got.append, "first")  # from here on the loop looks once a period
        await asyncio.sleep(0)
        began = time.perf_counter()
        mailbox.post(got.append, "second")
        mailbox.post(asyncio.Event.set, came, urgent=True)
        await came.wait()
        waits.append(time.perf_counter() - began)
        assert got == ["first", "second"]
    assert sorted(waits)[4] < PERIOD / 2


def test_a_post_after_the_loop_has_closed_does_nothing() -> None:
    async def make() -> Mailbox:
        return Mailbox()

    mailbox = asyncio.run(make())
    mailbox.post(print, "never", urgent=True)
