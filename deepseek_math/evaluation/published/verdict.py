"""The published grader's verdicts, from processes that a hostile answer can't make wait for longer than the original.

Each process takes one question at a time. One that dies (its time is up, its memory is full) is replaced.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

from deepseek_math.evaluation import undecided
from deepseek_math.evaluation.benchmark import Same

PROCESSES = 2
SECONDS = 15.0  # of a verdict; as there, what takes longer counts as wrong
MODULE = "deepseek_math.evaluation.published.verdict_process"

_idle: SimpleQueue[subprocess.Popen[str] | None] = SimpleQueue()  # None: a process that is not started yet
for _ in range(PROCESSES):
    _idle.put(None)


async def same(rule: Same, found: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether the answers found are the expected ones. False, and noted as undecided, where the process died."""
    verdict = await asyncio.to_thread(_ask, {"rule": rule, "found": found, "expected": expected})
    if verdict is None:
        undecided.note(f"the published grader took over {SECONDS:g} s, or too much memory")
    return bool(verdict)


def _ask(question: dict[str, Any]) -> bool | None:
    """The next idle process's verdict; None where the process died of it."""
    process = _idle.get()
    answer = None
    try:
        process = process or _start()
        answer = _reply(process, question)
        return answer["same"] if answer else None
    finally:
        if process is not None and (answer is None or answer["retire"]):
            process.kill()
            process.communicate()
            process = None
        _idle.put(process)


def _start() -> subprocess.Popen[str]:
    """A fresh interpreter: a fork of a process with threads is not safe."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
    )


def _reply(process: subprocess.Popen[str], question: dict[str, Any]) -> dict[str, bool] | None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    answer: dict[str, bool] | None = json.loads(line) if line else None
    return answer
