"""Measures a checkpoint of the tiny family on held-out problems and prints the result as one line of JSON.

The problems are asked through the service itself, on llama.cpp, with its prompts, votes, sandbox and judge.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from deepseek_math.answers.judging import judge
from deepseek_math.errors import ServiceError
from deepseek_math.interval import wilson
from deepseek_math.service import Service
from deepseek_math.settings import Settings
from deepseek_math.training.documents import HEADS
from deepseek_math.training.generator import distinct
from deepseek_math.training.problem import TOKENS, Problem, latex

SEED = 20261122  # of the held-out problems, the same for every checkpoint
IN_FLIGHT = 16
MODES: Mapping[str, Mapping[str, Any]] = {
    "raw": {"mode": "raw"},  # the base model continues the problem as a document
    "typed": {"mode": "raw"},  # it continues the question alone, as a user types it
    "fewshot": {"mode": "fewshot"},
    "cot": {"mode": "cot"},
    "vote": {"mode": "cot", "samples": 16, "temperature": 0.7, "seed": SEED},
    "tool": {"mode": "tool"},
}


async def measure(folder: Path, mode: str, count: int) -> dict[str, Any]:
    """How many of the first `count` held-out problems are right, and the wrong ones by kind. Greedy, but for the vote.

    Raises ServiceError.
    """
    problems = distinct(SEED, count, held=True)
    start = time.monotonic()
    async with _service(folder) as service:
        right = await _answers(service, problems, mode, f"{folder.name} {mode}")
    misses = Counter(problem.kind for problem, good in zip(problems, right, strict=True) if not good)
    return {
        "checkpoint": folder.name,
        "mode": mode,
        "samples": MODES[mode].get("samples", 1),
        "right": sum(right),
        "count": count,
        "interval": [round(bound, 4) for bound in wilson(sum(right), count)],  # of the share, 95 %
        "seconds": round(time.monotonic() - start, 1),
        "misses": dict(misses.most_common()),
    }


@asynccontextmanager
async def _service(folder: Path) -> AsyncIterator[Service]:
    """The service on the checkpoint as a GGUF file, closed in the end."""
    from deepseek_math.training.gguf_file import convert  # with torch: `dsm train measure --help` needs none

    with TemporaryDirectory() as scratch:
        file = Path(scratch) / f"{folder.name}.gguf"
        convert(folder, file)
        service = await Service.open(Settings(checkpoint=str(file), slots=IN_FLIGHT), print)
        try:
            yield service
        finally:
            await service.engine.close()
            await service.sandboxes.close()
            await judge().close()


async def _answers(service: Service, problems: Sequence[Problem], mode: str, title: str) -> list[bool]:
    """Whether each problem is answered right; IN_FLIGHT at a time, with a progress bar. Raises ServiceError."""
    turns = asyncio.Semaphore(IN_FLIGHT)
    with tqdm(total=len(problems), desc=title) as bar:

        async def is_right(problem: Problem) -> bool:
            async with turns:
                right = await _is_right(service, problem, mode)
                bar.update()
                return right

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(is_right(problem)) for problem in problems]
        except ExceptionGroup as faults:
            from_service = faults.subgroup(ServiceError)
            if from_service is None:
                raise
            raise from_service.exceptions[0] from None
    return [task.result() for task in tasks]


async def _is_right(service: Service, problem: Problem, mode: str) -> bool:
    question = problem.question
    if mode == "raw":
        question = f"{HEADS[problem.language][1]}{question}\n"
    inputs = {"prompt": question, "temperature": 0.0, "max_new_tokens": TOKENS}
    inputs |= {"expected_answer": latex(problem.answer)} | dict(MODES[mode])
    metrics: dict[str, Any] = {}
    async for _ in service.complete(inputs, metrics.__setitem__):
        pass
    return bool(metrics["correct"])
