"""Tool mode over HTTP: a real coglet, the real Predictor, the demo, real sandboxes."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from deepseek_math.local.client import Event, cancel, stream
from deepseek_math.local.server import LocalServer
from deepseek_math.prompts import TOOL_SUFFIX
from tests.support.exam_service import exam_service

QUESTION, ANSWER = "What is 1234 * 56?", "69104"


def predict(server: LocalServer, prompt: str = QUESTION, **inputs: Any) -> list[Event]:
    return list(stream(server.url, {"prompt": prompt, "mode": "tool", "max_new_tokens": 400} | inputs))


def text(events: list[Event]) -> str:
    return "".join(event.data["chunk"] for event in events if event.kind == "output")


def test_the_model_s_program_runs_inside_the_stream(demo: LocalServer) -> None:
    events = predict(demo, expected_answer=ANSWER)
    final = events[-1].data
    assert final["status"] == "succeeded", final
    assert re.search(rf"```python\n.*\n```\n```output\n{ANSWER}\n```\n", text(events), re.DOTALL)
    assert "".join(final["output"]) == text(events)
    metrics = final["metrics"]
    assert (metrics["tool_rounds"], metrics["tool_errors"]) == (1, 0)
    assert metrics["tool_seconds"] > 0
    assert (metrics["answer"], metrics["correct"]) == (ANSWER, True)
    assert metrics["finish_reason"] == "stop"
    assert metrics["completion_tokens"] <= 400
    assert TOOL_SUFFIX["en"].strip() in final["logs"]


def test_the_limit_of_tokens_is_the_model_s_own_and_not_the_outputs(demo: LocalServer) -> None:
    """A program's output counts against the context alone: the model has all the tokens that were asked for. Its end
    takes one of them too."""
    whole = predict(demo)[-1].data
    tokens = whole["metrics"]["completion_tokens"]
    for limit, ends, as_whole in (
        (tokens + 1, (tokens, "stop"), True),
        (tokens, (tokens, "length"), True),
        (tokens - 1, (tokens - 1, "length"), False),
    ):
        final = predict(demo, max_new_tokens=limit)[-1].data
        assert (final["metrics"]["completion_tokens"], final["metrics"]["finish_reason"]) == ends
        assert ("".join(final["output"]) == "".join(whole["output"])) == as_whole


def test_the_log_of_the_start_says_what_the_kernel_offers(demo: LocalServer) -> None:
    setup: Any = demo.health()["setup"]
    assert "sandbox: Landlock" in setup["logs"]


def test_a_seed_gives_the_same_text_alone_and_beside_others(demo: LocalServer) -> None:
    def draw(seed: int) -> str:
        events = predict(demo, "What is 81 - 18?", seed=seed, temperature=0.8)
        assert events[-1].data["status"] == "succeeded", events[-1].data
        return text(events)

    alone = [draw(seed) for seed in range(3)]
    with ThreadPoolExecutor(6) as pool:
        beside = list(pool.map(draw, [0, 1, 2, 3, 4, 5]))
    assert beside[:3] == alone
    assert sum("```python" in each for each in beside) >= 3  # else this says nothing about programs


QUICK, HANGS = "```python\nprint(2 + 2)\n```", "```python\nprint(9 ** 9 ** 9)\n```"


def test_programs_and_outputs_are_read_while_a_later_one_runs_and_a_cancel_ends_it(tmp_path: Path) -> None:
    """All text before a program that hangs is there while it runs. The demo writes no such program, so here the engine
    says what is to be said: first that, then this behind the output 4."""
    exam = {"Hang!": QUICK, "4": HANGS}
    shown = f"{QUICK}\n```output\n4\n```\n{HANGS}"
    with exam_service(tmp_path, exam) as service:
        seen = ""
        for event in stream(service.url, {"prompt": "Hang!", "mode": "tool"}, prediction_id="hangs"):
            if event.kind == "output":
                seen += event.data["chunk"]
            if event.kind == "output" and seen == shown:
                until(lambda: bool(busy()))
                assert cancel(service.url, "hangs")
        assert event.data["status"] == "canceled"
        assert seen.startswith(shown)
        until(lambda: not busy())
        after = list(stream(service.url, {"prompt": "Hang!", "mode": "tool", "max_tool_rounds": 1}))
    assert text(after) == shown


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def busy() -> list[psutil.Process]:
    """The sandboxes at work: those that run, where others sleep or are stopped."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            parent = child.parent()
            sandboxed = parent is not None and "deepseek_math.programs.sandbox.zygote" in parent.cmdline()
            if sandboxed and child.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_vote_of_samples_that_run_programs(demo: LocalServer) -> None:
    events = predict(demo, samples=4, seed=1, expected_answer=ANSWER)
    final = events[-1].data
    assert final["status"] == "succeeded", final
    metrics = final["metrics"]
    assert metrics["tool_rounds"] >= 2
    assert (metrics["answer"], metrics["correct"]) == (ANSWER, True)
    assert metrics["votes"][0]["count"] >= 2


@pytest.mark.parametrize("rounds", [0, 9])
def test_rounds_out_of_range_are_refused_at_the_door(demo: LocalServer, rounds: int) -> None:
    with pytest.raises(Exception, match="422"):
        predict(demo, max_tool_rounds=rounds)
