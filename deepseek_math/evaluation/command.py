"""`dsm evaluate`: run a benchmark, compare two runs, or report on a folder of them."""

import argparse
import asyncio
import json
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import httpx

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.errors import ServiceError
from deepseek_math.evaluation import comparison, data, report, runner
from deepseek_math.evaluation.benchmark import EvaluationError, Question
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.options import parse
from deepseek_math.evaluation.plan import Plan, file_name
from deepseek_math.evaluation.results import Results
from deepseek_math.evaluation.summary import KEY, Summary, summarise
from deepseek_math.jobs import JobError, ray_workers
from deepseek_math.jobs.journal import Line
from deepseek_math.jobs.progress import Progress
from deepseek_math.jobs.served import Served, identify_all, services
from deepseek_math.local.server import ServerFailed
from deepseek_math.signals import run_until_stopped
from deepseek_math.terminal import say

REACHED, NOT_REACHED, FAILED, NO_FIGURE = 0, 1, 2, 3
RESULTS = Path("results")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: see the help text."""
    return run_until_stopped(lambda: _status(arguments), "evaluate: stopped. The same command goes on from here.")


def _status(arguments: Sequence[str] | None) -> int:
    try:
        options = parse(arguments)
        if options.compare:
            return _compare(options)
        if options.what == "report":
            return _report(options)
        return _evaluate(options)
    except (JobError, ServerFailed, ServiceError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        say(f"evaluate: {error}")
        return FAILED
    except Exception:  # Python's own status would be 1, which is a verdict
        traceback.print_exc()
        return FAILED


def _evaluate(options: argparse.Namespace) -> int:
    """Runs or goes on with a benchmark; prints its summary and, last, one JSON line."""
    benchmark = BENCHMARKS[options.what]
    kept = (options.out.parent if options.out else RESULTS) / "questions"
    questions, source = data.questions(benchmark, options.data, options.limit, kept)
    with services(options.url, options.ray, say) as urls:
        served = identify_all(urls) if urls else ray_workers.own_service(say)
        shots = _shots(options, served, kept)
        if shots:
            source += f", shots from {options.shots or 'train'}"
        plan = Plan(
            benchmark,
            options.mode,
            tuple(questions),
            shots,
            options.samples,
            options.max_new_tokens,
            options.max_tool_rounds,
            options.seed,
        )
        plan.require_inputs(served.inputs)
        settings = plan.settings(served)
        file = options.out or RESULTS / file_name(settings, options.limit)
        with Results(file, settings, {"source": source, "published": options.published}) as results:
            rate = _answer(plan, urls, served, results, options)
            results.finish([question.id for question in questions])
    summary = summarise(settings, results.answered, options.grader, options.published)
    _show(summary, rate, file)
    if sum(summary.refused.values()) == summary.questions:
        raise EvaluationError("Every question was refused by the service, so nothing was measured.")
    return {True: REACHED, False: NOT_REACHED, None: NO_FIGURE}[summary.reached]


def _show(summary: Summary, rate: float | None, file: Path) -> None:
    speed = f"{rate} tokens a second" if rate else "nothing generated in this call"
    print(summary.text())
    print(f"  speed      {speed}")
    print(f"  results    {file}")
    print(json.dumps(summary.record() | {"tokens_per_second": rate, "results": str(file)}), flush=True)


def _shots(options: argparse.Namespace, served: Served, kept: Path) -> tuple[Question, ...]:
    """Empty for a checkpoint that takes instructions. Raises EvaluationError."""
    base = served.checkpoint in CHECKPOINTS and CHECKPOINTS[served.checkpoint].style.base
    if options.mode == "tool" and base:
        raise EvaluationError(f"{served.checkpoint} is a base checkpoint, which has no tool mode here. Use --mode cot.")
    if not options.shots and not base:
        if options.shot_count:
            raise EvaluationError(
                f"--shot-count needs --shots FILE: {served.checkpoint} is not a base checkpoint of the table."
            )
        return ()
    file = None if options.shots in (None, "train") else Path(options.shots)
    return data.shots(BENCHMARKS[options.what], file, options.shot_count, kept)


def _answer(plan: Plan, urls: list[str], served: Served, results: Results, options: argparse.Namespace) -> float | None:
    """Answers the questions that have no line yet. Tokens a second, None where none was generated."""
    answered = results.ids
    left = [question for question in plan.questions if question.id not in answered]
    key = KEY[options.grader]
    tokens = 0
    progress = Progress(
        plan.benchmark.title,
        len(plan.questions),
        len(answered),
        sum(line[key] for line in results.answered),
        "accuracy",
    )
    in_flight = options.concurrency or served.in_flight

    def keep(line: Line) -> None:
        nonlocal tokens
        results.keep(line)
        progress.add(line[key])
        tokens += line["tokens"]

    started = time.monotonic()
    try:
        if left and options.ray:
            questioner = runner.Questioner(plan)
            ids = [question.id for question in left]
            for line in ray_workers.answers(questioner, ids, "id", urls, served, options.ray, in_flight):
                keep(line)
        elif left:
            asyncio.run(_answer_here(plan, left, urls[0], in_flight, keep))
    finally:
        progress.close()
    return round(tokens / (time.monotonic() - started), 1) if tokens else None


async def _answer_here(
    plan: Plan, questions: list[Question], url: str, in_flight: int, keep: Callable[[Line], None]
) -> None:
    try:
        async with aclosing(runner.answers(plan, questions, url, in_flight)) as lines:
            async for line in lines:
                keep(line)
    finally:
        await judge().close()


def _report(options: argparse.Namespace) -> int:
    folder = options.folder or RESULTS
    found, left_out = report.summaries(folder, options.grader)
    print(report.table(found))
    for reason in left_out:
        say(f"left out: {reason}")
    picture = options.picture or folder / "report.png"
    report.picture(found, picture)
    print(f"\nThe picture: {picture}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    first, second = options.compare
    found = comparison.compare(first, second, options.grader)
    print(comparison.text(found, first, second))
    print(json.dumps(found))
    return 0
