"""Accuracy of a family checkpoint on held-out problems: `python -m deepseek_math.training.measure FOLDER`.

The problems are asked through the service itself, on llama.cpp: its prompts, its votes, its sandbox, its check of the
answer. Prints one line of JSON.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from deepseek_math.answers.judging import judge
from deepseek_math.errors import ServiceError
from deepseek_math.service import Service
from deepseek_math.settings import Settings
from deepseek_math.training.documents import HEADS
from deepseek_math.training.faults import plainly
from deepseek_math.training.generator import distinct
from deepseek_math.training.gguf_file import convert
from deepseek_math.training.held_out import TOKENS
from deepseek_math.training.problem import Problem, latex

SEED = 20261122  # of the held-out problems, the same for every checkpoint
IN_FLIGHT = 16
MODES: Mapping[str, Mapping[str, Any]] = {
    "raw": {"mode": "raw"},  # the base model continues the problem as a document
    "cot": {"mode": "cot"},
    "vote": {"mode": "cot", "samples": 16, "temperature": 0.7, "seed": SEED},
    "tool": {"mode": "tool"},
}


async def evaluate(folder: Path, mode: str, count: int) -> dict[str, Any]:
    """Counts on the first `count` held-out problems, greedy but for the vote, with the misses by kind."""
    problems = distinct(SEED, count, held=True)
    start = time.monotonic()
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / f"{folder.name}.gguf"
        convert(folder, file)
        service = await Service.open(Settings(checkpoint=str(file), slots=IN_FLIGHT), print)
        turns = asyncio.Semaphore(IN_FLIGHT)
        bar = tqdm(total=count, desc=f"{folder.name} {mode}")

        async def is_right(problem: Problem) -> bool:
            async with turns:
                right = await _is_right(service, problem, mode)
                bar.update()
                return right

        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(is_right(problem)) for problem in problems]
        except ExceptionGroup as faults:
            for fault in faults.exceptions:
                if isinstance(fault, ServiceError):
                    raise fault from None
            raise
        finally:
            bar.close()
            await service.engine.close()
            await service.sandboxes.close()
            await judge().close()
    right = [task.result() for task in asked]
    misses = Counter(one.kind for one, good in zip(problems, right, strict=True) if not good)
    seconds = round(time.monotonic() - start, 1)
    counts = {
        "checkpoint": folder.name,
        "mode": mode,
        "samples": MODES[mode].get("samples", 1),
        "right": sum(right),
        "count": count,
    }
    return counts | {"seconds": seconds, "misses": dict(misses.most_common())}


async def _is_right(service: Service, problem: Problem, mode: str) -> bool:
    question = f"{HEADS[problem.language][1]}{problem.question}\n" if mode == "raw" else problem.question
    metrics: dict[str, Any] = {}
    inputs = {"temperature": 0.0, "max_new_tokens": TOKENS, "expected_answer": latex(problem.answer)}
    async for _ in service.complete({"prompt": question} | inputs | dict(MODES[mode]), metrics.__setitem__):
        pass
    return bool(metrics["correct"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mode", choices=MODES, default="cot")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="a file of JSON lines that the result is added to")
    arguments = parser.parse_args()
    if arguments.count < 1:
        parser.error(f"--count {arguments.count}: 1 or more")
    line = json.dumps(asyncio.run(evaluate(arguments.folder, arguments.mode, arguments.count)))
    print(line)
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    with plainly():
        main()
