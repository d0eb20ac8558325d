"""What the page is told while a text grows: soon, not too often, all of it, and nothing after the end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from deepseek_math.local.client import Event
from deepseek_math.page.site import paced
from deepseek_math.page.solution import Solution, ending, vote

OUTPUT, COMPLETED = Event("output", {"chunk": "x"}, 0.0), Event("completed", {}, 0.0)


async def drawn(events: list[Event], gate: asyncio.Event, closed: list[bool]) -> AsyncGenerator[Event, None]:
    """The events; the last one waits for the gate."""
    try:
        for event in events[:-1]:
            yield event
        await gate.wait()
        yield events[-1]
    finally:
        closed.append(True)


async def test_what_arrived_is_shown_while_the_model_is_silent_and_nothing_after_the_end() -> None:
    gate, closed = asyncio.Event(), list[bool]()
    seen: list[Event | None] = []
    async with aclosing(paced(drawn([OUTPUT, OUTPUT, COMPLETED], gate, closed))) as events:
        async for event in events:
            seen.append(event)
            if event is None and seen.count(OUTPUT) == 2:
                gate.set()
    assert seen.count(OUTPUT) == 2
    assert None in seen
    assert seen[-1] == COMPLETED
    assert closed == [True]


async def test_who_leaves_ends_the_drawing() -> None:
    closed = list[bool]()
    async with aclosing(paced(drawn([OUTPUT, COMPLETED], asyncio.Event(), closed))) as events:
        assert await anext(events) == OUTPUT
        assert await anext(events) is None
        waiting = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert closed == [True]


def test_changes_add_up_to_the_whole_solution() -> None:
    text = "First $x$.\n\n```python\nprint(1)\n```\n```output\n1\n```\nSo \\boxed{1}."
    growing, shown, came = Solution(), list[object](), ""
    for end, sign in enumerate(text, start=1):
        growing.add(sign)
        change = growing.change(finished=end == len(text))
        del shown[change["kept"] :]
        shown += change["blocks"]
        came += change["text"]
    assert came == text
    assert shown == Solution(text).change(finished=True)["blocks"]


def test_answers_are_set_or_words() -> None:
    state = {
        "samples": 8,
        "finished": 3,
        "votes": [{"answer": r"\frac12", "count": 2}, {"answer": "<b> is it & so", "count": 1}],
    }
    formula, words = vote(state)["votes"]
    assert formula["html"].startswith("<math")
    assert (formula["count"], words["count"]) == (2, 1)
    assert words["html"] == "<span>&lt;b&gt; is it &amp; so</span>"
    assert ending({"answer": "no real roots"})["answer"]["html"] == "<span>no real roots</span>"
    assert ending({"finish_reason": "length"})["answer"] is None
