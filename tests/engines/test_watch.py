"""When a request that hears nothing is told that llama.cpp works."""

import asyncio
from itertools import count

import pytest

from deepseek_math.engines.llama_cpp import watch
from deepseek_math.engines.llama_cpp.watch import Steps, Watch

LOOKS = 4


@pytest.mark.parametrize(
    ("hears", "others_hear", "reading", "computes", "told"),
    [
        (False, False, True, False, False),  # nothing happens: it has stalled
        (False, True, True, True, True),  # the prompts of others are read
        (False, True, True, False, True),
        (False, False, True, True, True),  # one long step
        (False, False, False, True, True),
        (False, True, False, True, False),  # it is part of every step, and hears of none: it is lost
        (True, True, True, True, False),  # it hears for itself
        (True, True, False, True, False),
    ],
)
async def test_a_silent_request_is_told_while_llama_cpp_works_for_it(
    hears: bool, others_hear: bool, reading: bool, computes: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, looks = count(), count()
    enough = asyncio.Event()
    heard: list[None] = []

    def steps() -> Steps:
        number = next(looks)
        if number == LOOKS:
            enough.set()
        return Steps(number * hears, number * (hears or others_hear), reading)

    monkeypatch.setattr(watch, "TICK", 0.01)
    monkeypatch.setattr(watch, "process_time", lambda: float(next(seconds)) if computes else 0.0)
    with Watch(steps, lambda: heard.append(None)):
        await enough.wait()
    assert (len(heard) >= LOOKS - 1) if told else not heard


async def test_a_step_without_end_is_not_excused_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, looked, heard = count(), asyncio.Event(), list[None]()
    monkeypatch.setattr(watch, "TICK", 0.01)
    monkeypatch.setattr(watch, "SLOWEST_STEP", 0.0)
    monkeypatch.setattr(watch, "process_time", lambda: float(next(seconds)))
    looks = count()

    def steps() -> Steps:
        if next(looks) == LOOKS:
            looked.set()
        return Steps(0, 0, True)

    with Watch(steps, lambda: heard.append(None)):
        await looked.wait()
    assert not heard
