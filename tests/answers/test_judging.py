"""Answers are compared whatever a pair costs: a hostile one is cut off, a long honest one is not, nobody else waits."""

import asyncio
import itertools
import logging
import os
import random
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import ANY

import psutil
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings

from deepseek_math.answers import judging
from deepseek_math.answers.judging import MAX_LENGTH, SECONDS, STARTING, WORKERS, Judge, equivalent
from deepseek_math.answers.worker import compare
from deepseek_math.paths import ROOT
from tests.support.answer_rows import TABLE, anything

pytestmark = pytest.mark.asyncio(loop_scope="module")

HANGING = 30.0  # seconds; what is bounded at 2 s and takes this long is not bounded. The table printed has the times

HOSTILE: dict[str, tuple[str, str]] = {
    "tower of powers": ("9^{9^{9^{9}}}", "9^{9^{9^{8}}}"),
    "giant factorial": ("100000000!", "99999999!"),
    "sum": (r"\sum_{k=1}^{10^{9}}\frac{1}{k^{k}}", "1.29"),
    "binomial": (r"\binom{10^{9}}{5\cdot 10^{8}}", "7"),
    "fractions in fractions": (r"\frac{1}{1+" * 80 + "1" + "}" * 80, "0.618"),
    "roots in roots": (r"\sqrt{2+" * 60 + "2" + "}" * 60, "2"),
    "brackets in brackets": ("(" * 900 + "1" + ")" * 900, "1+1-1"),
    "braces in braces": ("{" * 900 + "1" + "}" * 900, "2"),
    "a million digits": ("1" * 1_000_000, "1" * 999_999 + "2"),
    "memory": ("10^{10^{10}}", "10^{10^{10}}+1"),
    "unicode junk": ("\u202e\ud800\U0001f600\u0301" * 300, "\u0301" * 900),
}
HANG = (
    rf"\sum_{{a=1}}^{{9999}}\sum_{{b=1}}^{{9999}}\sqrt{{ab+{n}}}" for n in itertools.count(10)
)  # answers are remembered


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def judge() -> AsyncIterator[Judge]:
    judge = Judge()
    await judge.start()
    yield judge
    await judge.close()


@contextmanager
def timed() -> Iterator[list[float]]:
    """Seconds that the block took, once it is left."""
    clock, started = [0.0], time.perf_counter()
    yield clock
    clock[0] = time.perf_counter() - started


async def warm(judge: Judge) -> None:
    """Waits until every worker is ready again, so that one test's kills are not measured by the next."""
    async with asyncio.timeout(60):
        while judge._idle.qsize() < judge._processes:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_the_judge_says_what_the_rules_say(judge: Judge) -> None:
    for row in TABLE:
        assert await judge.equivalent(row.gold or "", row.prediction) is row.expected, row


async def test_algebra_works_here() -> None:
    """A grader that swallows a missing library calls every symbolic pair different."""
    for a, b in [(r"\frac{\sqrt{8}}{2}", r"\sqrt 2"), ("(x+1)^2", "x^2+2x+1"), (r"\sin^2 x+\cos^2 x", "1")]:
        assert compare(a, b) == (True, ""), "comparison is broken: check the pin of mpmath"


async def test_a_broken_algebra_is_loud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without mpmath the start raises, and a comparison is not equal, with the reason logged; nothing hangs."""
    (tmp_path / "mpmath.py").write_text("raise ImportError('another version')")
    monkeypatch.setattr(judging, "ROOT", f"{tmp_path}{os.pathsep}{ROOT}")
    broken = Judge()
    try:
        with pytest.raises(RuntimeError, match="cannot be compared"):
            await broken.start()
        with timed() as clock:
            assert not await broken.equivalent(r"\sqrt{8}", r"2\sqrt{2}")
            assert await broken.equivalent("0.5", "$0.5$")
        assert clock[0] < SECONDS
    finally:
        await broken.close()


few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(a=anything, b=anything)
async def test_any_pair_is_decided_the_same_both_ways_in_time(judge: Judge, a: str, b: str) -> None:
    await warm(judge)
    with timed() as clock:
        forth = await judge.equivalent(a, b)
    judge._known.clear()  # so that the other way is asked anew
    assert await judge.equivalent(b, a) is forth
    assert clock[0] < HANGING


async def test_hostile_answers_cost_their_own_comparison_alone(
    judge: Judge, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["", f"{'hostile pair':24}{'equal':>8}{'seconds':>9}{'next':>8}"]
    for number, (name, (a, b)) in enumerate(HOSTILE.items()):
        await warm(judge)
        with timed() as clock:
            equal = await judge.equivalent(a, b)
        with timed() as innocent:
            assert await judge.equivalent(rf"\sqrt{{8}}+{number}", rf"{number}+2\sqrt2")
        lines.append(f"{name:24}{equal!s:>8}{clock[0]:9.2f}{innocent[0]:8.2f}")
        assert not equal, name
        assert clock[0] < HANGING, name
        assert innocent[0] < HANGING, name
    with capsys.disabled():
        print("\n".join(lines))


async def test_a_long_honest_list_is_decided_in_time(judge: Judge) -> None:
    """None of these is cut off: most items are found by their hash, the others by their value at one point."""
    await warm(judge)
    shuffle = random.Random(7)
    fractions = [rf"\frac{{{shuffle.randint(1, 999)}}}{{{shuffle.randint(1, 99)}}}" for _ in range(119)]
    honest = {
        "119 fractions": (fractions, shuffle.sample(fractions, len(fractions))),
        "39 terms": ([f"x+{k}" for k in range(39)], [f"{k}+x" for k in reversed(range(39))]),
        "99 roots": ([rf"\sqrt{{{k}}}" for k in range(2, 101)], [f"{k}^{{1/2}}" for k in reversed(range(2, 101))]),
        "39 plus-minuses": (
            [rf"\pm\sqrt{{{k}}}" for k in range(2, 41)],
            [f"{s}√{k}" for k in range(2, 41) for s in "+-"],
        ),
        "60 points": ([f"({k},{k}/2)" for k in range(60)], [f"({k},0.5*{k})" for k in reversed(range(60))]),
    }
    for name, (left, right) in honest.items():
        assert (await judge.compare(", ".join(left), ", ".join(right))) == judging.Verdict(True, ANY), name
        assert (await judge.compare(", ".join(left), ", ".join([*right[1:], "7.5"]))).reason == "", name
    terms = [f"{k}x^{{{k}}}" for k in range(150)]
    assert await judge.equivalent("+".join(terms), "+".join(reversed(terms)))


async def test_an_innocent_pair_does_not_wait_for_a_hostile_one(judge: Judge) -> None:
    await warm(judge)
    hostile = asyncio.create_task(judge.equivalent(next(HANG), "1"))
    await asyncio.sleep(0.1)
    assert await judge.equivalent("2x+2x+7", "4x+7")
    assert not hostile.done()
    assert not await hostile


async def test_hostile_pairs_take_their_turns(judge: Judge) -> None:
    """Four at once on two workers: two rounds of two seconds, and what the replacements need to start."""
    await warm(judge)
    with timed() as clock:
        assert not any(await asyncio.gather(*(judge.equivalent(next(HANG), "1") for _ in range(4))))
    assert 2 * SECONDS - 0.1 < clock[0] < 2 * SECONDS + 30


async def test_the_reason_is_logged(judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "deepseek_math.answers"):
        assert not await judge.equivalent(next(HANG), "1")
        assert not await judge.equivalent(r"\frac{1}{", r"\frac{+}{@}")
    assert "took over 2 s" in caplog.text


async def test_a_pair_is_compared_once(judge: Judge) -> None:
    hang = next(HANG)
    await warm(judge)
    with timed() as clock:
        assert not any(await asyncio.gather(*(judge.equivalent(hang, "1") for _ in range(5))))
        assert not await judge.equivalent("1", hang)
    assert clock[0] < HANGING


async def test_a_caller_who_leaves_harms_nobody(judge: Judge) -> None:
    hang = next(HANG)
    leaver = asyncio.create_task(judge.equivalent(hang, "1"))
    stayer = asyncio.create_task(judge.equivalent(hang, "1"))
    await asyncio.sleep(0.1)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert not await stayer
    assert await judge.equivalent("3x+4x+8", "7x+8")


async def test_a_worker_that_is_shot_is_replaced(judge: Judge) -> None:
    await warm(judge)
    task = asyncio.create_task(judge.equivalent(next(HANG), "1"))
    await asyncio.sleep(0.3)
    for child in psutil.Process().children():
        if "deepseek_math.answers.worker" in child.cmdline():
            child.kill()
    assert not await task
    for _ in range(3):  # idle ones died too: each costs one comparison at most
        await judge.equivalent(next(HANG), "1")
    assert await judge.equivalent("5x+4x+8", "9x+8")


def at_work() -> set[psutil.Process]:
    return {child for child in psutil.Process().children() if "deepseek_math.answers.worker" in child.cmdline()}


async def test_close_ends_the_busy_and_the_idle(judge: Judge) -> None:
    await warm(judge)
    async with asyncio.timeout(STARTING):  # an earlier test shot workers, which are replaced in the background
        while len(at_work()) != judge._processes:  # noqa: ASYNC110  # other processes have no event
            await asyncio.sleep(0.05)
    before = at_work()
    closing = Judge()
    await closing.start()
    task = asyncio.create_task(closing.equivalent(next(HANG), "1"))
    await asyncio.sleep(0.3)
    await closing.close()
    assert not await task
    assert not at_work() - before
    assert not await closing.equivalent("x+1", "x+x+1-x")  # text only from here on


async def test_long_answers_are_compared_as_text(judge: Judge) -> None:
    long = "1+" * MAX_LENGTH + "1"
    with timed() as clock:
        assert await judge.equivalent(long, f" {long} ")
        assert not await judge.equivalent(long, str(MAX_LENGTH + 1))
    assert clock[0] < 1


async def test_the_module_needs_no_ceremony() -> None:
    assert await equivalent("0.25+x", r"\frac14+x")
    await judging.judge().close()


PARENT = r"""
import asyncio, os, sys
from deepseek_math.answers.judging import Judge
async def main():
    judge = Judge()
    await judge.start()
    asyncio.get_running_loop().create_task(judge.equivalent(r"\sum_{a=1}^{9999}\sum_{b=1}^{9999}\sqrt{ab}", "1"))
    await asyncio.sleep(0.5)
    print("busy", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_workers_die_with_their_parent() -> None:
    """A parent started as `python -c`, as coglet starts one, and shot while one worker is busy and the others idle."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=PIPE, cwd=ROOT)
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"busy\n"
    children = psutil.Process(parent.pid).children()
    assert len(children) >= WORKERS
    parent.kill()
    await parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
