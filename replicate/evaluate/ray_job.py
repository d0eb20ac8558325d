"""The same benchmark as a Ray Data job: N workers, each with a service of its own or taking turns at running ones.

`--ray N` uses the cluster that RAY_ADDRESS names, else this machine. Each worker takes a batch of questions at a time
and sends every line back as soon as it is answered, so the results file is as good for going on as a single run's.
"""

import json
import logging
import math
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from replicate.evaluate import run
from replicate.evaluate.benchmark import EvaluationError, Question
from replicate.evaluate.plan import Plan
from replicate.server import LocalServer

PACKAGE = Path(__file__).resolve().parents[1]
ROUNDS = 4  # times its questions in flight in one batch: a worker that is done early takes the next


class Worker:
    """Answers batches with one service: the next of `urls`, or one it starts."""

    def __init__(self, plan: Plan, urls: Sequence[str], turns: Any, in_flight: int) -> None:
        import ray

        self._plan, self._in_flight = plan, in_flight
        self._questions = {question.id: question for question in plan.questions}
        self._server: LocalServer | None = None
        if urls:
            self._url = urls[ray.get(turns.next.remote()) % len(urls)]
        else:
            self._server = LocalServer().__enter__()
            self._url = self._server.url

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, list[str]]]:
        questions = [self._questions[id] for id in batch["id"]]
        async for line in run.answers(self._plan, questions, self._url, self._in_flight):
            yield {"line": [json.dumps(line)]}

    def __del__(self) -> None:
        if server := getattr(self, "_server", None):
            server.stop()


class Turns:
    """Counts the workers, so that each takes another service."""

    def __init__(self) -> None:
        self._next = -1

    def next(self) -> int:
        self._next += 1
        return self._next


def answers(
    plan: Plan, questions: Sequence[Question], urls: Sequence[str], workers: int, in_flight: int
) -> Iterator[run.Line]:
    """One line a question, as they come. Raises EvaluationError when Ray is not installed or a worker fails."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "--ray needs the package ray. Install it: .venv/bin/python -m pip install -r requirements-evaluate.txt"
        ) from error
    checkpoint = {"CHECKPOINT": os.environ["CHECKPOINT"]} if os.environ.get("CHECKPOINT") else {}
    ray.init(
        runtime_env={"py_modules": [str(PACKAGE)], "env_vars": checkpoint},
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        ignore_reinit_error=True,
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        ray.data.DataContext.get_current().target_max_block_size = 1  # bytes: each line is sent back by itself
        turns = ray.remote(Turns).options(num_cpus=0).remote()
        blocks = max(workers, math.ceil(len(questions) / (ROUNDS * in_flight)))
        own_gpu = not urls and ray.cluster_resources().get("GPU", 0) > 0
        rows = ray.data.from_items([{"id": question.id} for question in questions], override_num_blocks=blocks)
        answered = rows.map_batches(
            Worker,
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=0.1,
            num_gpus=1 if own_gpu else 0,
            fn_constructor_args=(plan, tuple(urls), turns, in_flight),
        )
        for row in answered.iter_rows():
            yield json.loads(row["line"])
    except ray.exceptions.RayError as error:
        raise EvaluationError(f"A Ray worker failed: {error}") from error
    finally:
        ray.shutdown()
