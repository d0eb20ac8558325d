"""Tool mode over HTTP: a real coglet, the real Predictor, SmolLM2, real sandboxes.

It writes a program when earlier turns show it how; `mode=tool` and its suffix are the published ones.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from deepseek_math.local.client import Event, cancel, stream
from deepseek_math.local.server import LocalServer
from deepseek_math.prompts import TOOL_SUFFIX

SHOWN = [("print(7 * 8)", "56"), ("print(100 - 37)", "63"), ("print(9 + 16)", "25")]


def shots() -> list[dict[str, str]]:
    messages = []
    for program, output in SHOWN:
        messages.append({"role": "user", "content": f"Run this: {program}{TOOL_SUFFIX['en']}"})
        answer = f"```python\n{program}\n```\n```output\n{output}\n```\nThe answer is $\\boxed{{{output}}}$."
        messages.append({"role": "assistant", "content": answer})
    return messages


def predict(server: LocalServer, program: str, **inputs: Any) -> list[Event]:
    asked = {"prompt": f"Run this: {program}", "mode": "tool", "messages": shots(), "max_new_tokens": 64}
    return list(stream(server.url, asked | inputs))


def text(events: list[Event]) -> str:
    return "".join(event.data["chunk"] for event in events if event.kind == "output")


def test_the_model_s_program_runs_inside_the_stream(server: LocalServer) -> None:
    events = predict(server, "print(12 + 30)", expected_answer="42")
    final = events[-1].data
    assert final["status"] == "succeeded", final
    assert text(events).startswith("```python\nprint(12 + 30)\n```\n```output\n42\n```\n")
    assert "".join(final["output"]) == text(events)
    metrics = final["metrics"]
    assert (metrics["tool_rounds"], metrics["tool_errors"]) == (1, 0)
    assert metrics["tool_seconds"] > 0
    assert (metrics["answer"], metrics["correct"]) == ("42", True)
    assert metrics["finish_reason"] == "stop"
    assert metrics["completion_tokens"] <= 64
    assert TOOL_SUFFIX["en"].strip() in final["logs"]
    chunks = [event for event in events if event.kind == "output"]
    assert len(chunks) > 4


def test_the_log_of_the_start_says_what_the_kernel_offers(server: LocalServer) -> None:
    setup: Any = server.health()["setup"]
    assert "sandbox: Landlock" in setup["logs"]


def test_a_seed_gives_the_same_text_alone_and_beside_others(server: LocalServer) -> None:
    def draw(seed: int) -> str:
        events = predict(server, "print(81 - 18)", seed=seed, temperature=0.8, max_new_tokens=48)
        assert events[-1].data["status"] == "succeeded", events[-1].data
        return text(events)

    alone = [draw(seed) for seed in range(3)]
    with ThreadPoolExecutor(6) as pool:
        beside = list(pool.map(draw, [0, 1, 2, 3, 4, 5]))
    assert beside[:3] == alone
    assert sum("```python" in each for each in beside) >= 3  # else this says nothing about programs


def test_a_program_that_hangs_is_ended_by_a_cancel_and_its_slot_is_free(server: LocalServer) -> None:
    assert server.process is not None
    seen = ""
    for event in stream(
        server.url,
        {"prompt": "Run this: print(9 ** 9 ** 9)", "mode": "tool", "messages": shots(), "max_new_tokens": 64},
        prediction_id="hangs",
    ):
        if event.kind == "output":
            seen += event.data["chunk"]
        if event.kind == "output" and seen.endswith(")\n```"):
            time.sleep(0.5)
            assert busy(server.process.pid)
            assert cancel(server.url, "hangs")
    assert event.data["status"] == "canceled"
    assert seen.startswith("```python\nprint(9 ** 9 ** 9)\n```")
    deadline = time.monotonic() + 20
    while busy(server.process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert text(predict(server, "print(2 + 2)")).startswith("```python\nprint(2 + 2)\n```\n```output\n4\n```\n")


def busy(server: int) -> list[psutil.Process]:
    """The sandboxes at work: those that run, where others sleep or are stopped."""
    found = []
    for child in psutil.Process(server).children(recursive=True):
        try:
            parent = child.parent()
            sandboxed = parent is not None and "deepseek_math.programs.sandbox.zygote" in parent.cmdline()
            if sandboxed and child.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_vote_of_samples_that_run_programs(server: LocalServer) -> None:
    events = predict(server, "print(12 + 30)", samples=4, seed=1, max_new_tokens=48, expected_answer="42")
    final = events[-1].data
    assert final["status"] == "succeeded", final
    metrics = final["metrics"]
    assert metrics["tool_rounds"] >= 2
    assert (metrics["answer"], metrics["correct"]) == ("42", True)
    assert metrics["votes"][0]["count"] >= 2


@pytest.mark.parametrize("rounds", [0, 9])
def test_rounds_out_of_range_are_refused_at_the_door(server: LocalServer, rounds: int) -> None:
    with pytest.raises(Exception, match="422"):
        predict(server, "print(1)", max_tool_rounds=rounds)
