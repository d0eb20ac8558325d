"""`python -m deepseek_math.evaluation`: run a benchmark, compare two runs, or report on a folder of them."""

import argparse
import asyncio
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.errors import ServiceError
from deepseek_math.evaluation import compare, data, ray_job, report, runner
from deepseek_math.evaluation.benchmark import EvaluationError, Question
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.options import parse
from deepseek_math.evaluation.plan import MAX_NEW_TOKENS, MAX_TOOL_ROUNDS, Plan, Served
from deepseek_math.evaluation.progress import Progress
from deepseek_math.evaluation.results import Results
from deepseek_math.evaluation.summary import KEY, summarise
from deepseek_math.local.server import LocalServer, ServerFailed

REACHED, NOT_REACHED, FAILED, NO_FIGURE, STOPPED = 0, 1, 2, 3, 130
RESULTS = Path("results")


def evaluate(options: argparse.Namespace) -> int:
    """Runs or goes on with a benchmark; prints its summary and, last, one JSON line."""
    benchmark = BENCHMARKS[options.what]
    kept = (options.out.parent if options.out else RESULTS) / "questions"
    questions, source = data.questions(benchmark, options.data, options.limit, kept)
    with _services(options) as urls:
        served = _identified(urls) if urls else ray_job.own_service(_say)
        shots = _shots(options, served, kept)
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
        file = options.out or RESULTS / default_name(settings, options.limit)
        source += f", shots from {options.shots or 'train'}" if shots else ""
        notes = {"source": source, "published": options.published}
        with Results(file, settings, notes) as results:
            tokens, seconds = _answer(plan, urls, served, results, options)
            results.finish([question.id for question in questions])
    summary = summarise(settings, results.lines, options.grader, options.published)
    rate = round(tokens / seconds, 1) if tokens else None
    print(summary.text())
    print(f"  speed      {rate or 'nothing generated in this call'}{' tokens a second' * bool(rate)}")
    print(f"  results    {results.file}")
    print(json.dumps(summary.record() | {"tokens_per_second": rate, "results": str(results.file)}), flush=True)
    if sum(summary.refused.values()) == summary.questions:
        raise EvaluationError("Every question was refused by the service, so nothing was measured.")
    return {True: REACHED, False: NOT_REACHED, None: NO_FIGURE}[summary.reached]


def default_name(settings: dict[str, Any], limit: int | None) -> str:
    """`gsm8k-cot-first200-rl.jsonl`: a repeated command finds its file, another one its own."""
    mode = settings["mode"]
    names = [settings["benchmark"], mode]
    names += [f"{settings['shots']}shot"] if settings["shots"] else []
    names += [f"maj{settings['samples']}"] if settings["samples"] > 1 else []
    names += [f"seed{settings['seed']}"] if settings["seed"] else []
    names += [f"first{limit}"] if limit else []
    names += [f"{settings['max_new_tokens']}tokens"] if settings["max_new_tokens"] != MAX_NEW_TOKENS[mode] else []
    names += [f"{settings['max_tool_rounds']}rounds"] if settings["max_tool_rounds"] != MAX_TOOL_ROUNDS[mode] else []
    names += [settings["checkpoint"]]
    names += [(settings["checkpoint_digest"] or "")[:8]] if settings["checkpoint"] not in CHECKPOINTS else []
    return "-".join(filter(None, names)) + ".jsonl"


def _identified(urls: list[str]) -> Served:
    """What the services are, which must be of one kind. Raises EvaluationError."""
    found = [asyncio.run(runner.identify(url)) for url in urls]
    for url, each in zip(urls, found, strict=True):
        if str(each) != str(found[0]) or each.inputs != found[0].inputs:
            raise EvaluationError(f"{url} serves {each}, {urls[0]} {found[0]}. One run asks one kind.")
    return found[0]


def _shots(options: argparse.Namespace, served: Served, kept: Path) -> tuple[Question, ...]:
    """Empty for a checkpoint that is asked in words. Raises EvaluationError."""
    base = served.checkpoint in CHECKPOINTS and CHECKPOINTS[served.checkpoint].style.base
    if options.mode == "tool" and base:
        raise EvaluationError(f"{served.checkpoint} is a base checkpoint, which has no tool mode here. Use --mode cot.")
    if not options.shots and not base:
        if options.shot_count:
            raise EvaluationError("--shot-count needs --shots FILE: this is no base checkpoint of the table.")
        return ()
    file = None if options.shots in (None, "train") else Path(options.shots)
    return data.shots(BENCHMARKS[options.what], file, options.shot_count, kept)


def _answer(
    plan: Plan, urls: list[str], served: Served, results: Results, options: argparse.Namespace
) -> tuple[int, float]:
    """Answers what has no line yet; the tokens and seconds that took."""
    answered = results.answered
    left = [question for question in plan.questions if question.id not in answered]
    right = sum(line[KEY[options.grader]] for line in results.lines)
    progress = Progress(plan.benchmark.title, len(plan.questions), len(answered), right)
    before, started = sum(line["tokens"] for line in results.lines), time.monotonic()
    in_flight = options.concurrency or runner.in_flight(served)

    def keep(line: runner.Line) -> None:
        results.add(line)
        progress.add(line[KEY[options.grader]])

    try:
        if left and options.ray:
            for line in ray_job.answers(plan, left, urls, served, options.ray, in_flight):
                keep(line)
        elif left:
            asyncio.run(_answer_here(plan, left, urls[0], in_flight, keep))
    finally:
        progress.close()
    return sum(line["tokens"] for line in results.lines) - before, time.monotonic() - started


async def _answer_here(
    plan: Plan, questions: list[Question], url: str, in_flight: int, keep: Callable[[runner.Line], None]
) -> None:
    try:
        async with aclosing(runner.answers(plan, questions, url, in_flight)) as lines:
            async for line in lines:
                keep(line)
    finally:
        await judge().close()


@contextmanager
def _services(options: argparse.Namespace) -> Iterator[list[str]]:
    """Addresses of the services to ask; one started here where none is named, none where Ray's workers start theirs."""
    if options.url:
        yield [url.rstrip("/") for url in options.url]
    elif options.ray:
        yield []
    else:
        with LocalServer(say=_say) as server:
            yield [server.url]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _report(options: argparse.Namespace) -> int:
    folder = options.folder or RESULTS
    found, left_out = report.summaries(folder, options.grader)
    print(report.table(found))
    for reason in left_out:
        _say(f"left out: {reason}")
    picture = options.picture or folder / "report.png"
    report.picture(found, picture)
    print(f"\nThe picture: {picture}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    first, second = options.compare
    found = compare.compare(first, second, options.grader)
    print(compare.text(found, first, second))
    print(json.dumps(found))
    return 0


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    ended = STOPPED

    def end(number: int, _: object) -> None:
        """Takes Ctrl-C's way, which asyncio goes in order: an exception from here would hit any task."""
        nonlocal ended
        ended = 128 + number
        signal.raise_signal(signal.SIGINT)

    for ending in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal sends the second
        signal.signal(ending, end)
    try:
        options = parse()
        if options.compare:
            return _compare(options)
        return _report(options) if options.what == "report" else evaluate(options)
    except (EvaluationError, ServerFailed, ServiceError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nevaluate: stopped. The same command goes on from here.", file=sys.stderr)
        return ended
    except Exception:  # Python's own status would be 1, which is a verdict
        traceback.print_exc()
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
