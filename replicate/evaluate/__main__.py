"""`python -m replicate.evaluate`: run a benchmark, compare two runs, or report on a folder of them."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import httpx

from replicate.checkpoints import CHECKPOINTS, find
from replicate.equivalence import judge
from replicate.errors import ServiceError
from replicate.evaluate import compare, data, ray_job, report, run
from replicate.evaluate.benchmark import EvaluationError, Question
from replicate.evaluate.benchmarks import BENCHMARKS
from replicate.evaluate.plan import MAX_NEW_TOKENS, Plan
from replicate.evaluate.progress import Progress
from replicate.evaluate.results import Results
from replicate.evaluate.summary import KEY, PUBLISHED, default_file, summarise
from replicate.server import LocalServer, ServerFailed

REACHED, NOT_REACHED, FAILED, NO_FIGURE, STOPPED = 0, 1, 2, 3, 130
EPILOG = """exit status:
  0    the published figure lies inside the 95 % Wilson interval of the accuracy, or below the accuracy
  1    the published figure lies above the interval
  2    the run could not start or go on, and why; what was answered is kept
  3    the run is complete, but nothing was published for this benchmark, checkpoint, mode and number of samples
  130  stopped by Ctrl-C; the same command goes on where it stopped
"""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m replicate.evaluate",
        description="Whether a served checkpoint reaches its published score.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("what", nargs="?", choices=[*BENCHMARKS, "report"], help="a benchmark, or report")
    parser.add_argument("folder", nargs="?", type=Path, help="report: of results files (default: results)")
    add = parser.add_argument
    add("--url", action="append", help="a running service; without one, CHECKPOINT is served on this machine")
    add("--limit", type=_positive, help="only the first N questions")
    add("--data", type=Path, metavar="FILE", help="the questions as JSON lines; without it they come from the hub")
    add("--mode", choices=["cot", "tool"], default="cot", help="how the question is put (default: cot)")
    add("--shots", metavar="FILE", help="base checkpoints: worked questions as JSON lines, or train (their default)")
    add("--shot-count", type=_positive, metavar="K", help="how many shots (default: as published)")
    add("--samples", type=_positive, default=1, metavar="K", help="majority of K completions (default: 1, greedy)")
    add("--max-new-tokens", type=_positive, default=MAX_NEW_TOKENS, metavar="N", help="default: 1024, as published")
    add("--seed", type=int, default=0, help="of a vote's first completion")
    add("--grader", choices=list(KEY), default="strict", help="which count decides; both are reported")
    add("--published", choices=PUBLISHED, help="whose published figure (default: the checkpoint's own, else rl)")
    add("--out", type=Path, metavar="FILE", help="the results file (default: results/BENCHMARK-MODE-CHECKPOINT.jsonl)")
    add("--concurrency", type=_positive, default=run.IN_FLIGHT, metavar="N", help="questions in flight (default: 32)")
    add("--ray", type=_positive, metavar="N", help="N Ray workers, each with a service of its own or at the --urls")
    add("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two results files, question by question")
    add("--picture", type=Path, metavar="FILE", help="report: where the picture goes (default: FOLDER/report.png)")
    return parser


def evaluate(options: argparse.Namespace) -> int:
    """Runs or goes on with a benchmark; prints its summary and, last, one JSON line."""
    benchmark = BENCHMARKS[options.what]
    questions = tuple(data.questions(benchmark, options.data, options.limit))
    with _services(options) as urls:
        if urls:
            checkpoint, engine, inputs = _identified(urls)
        else:
            checkpoint, engine, inputs = find(os.environ.get("CHECKPOINT") or "rl").name, "ray", set[str]()
        shots: tuple[Question, ...] = ()
        if options.shots or (checkpoint in CHECKPOINTS and CHECKPOINTS[checkpoint].style.base):
            file = None if options.shots in (None, "train") else Path(options.shots)
            shots = data.shots(benchmark, file, options.shot_count)
        plan = Plan(benchmark, options.mode, questions, shots, options.samples, options.max_new_tokens, options.seed)
        if urls:
            plan.require_inputs(inputs)
        settings = plan.settings(checkpoint, engine)
        with Results(options.out or default_file(settings), settings) as results:
            tokens, seconds = _answer(plan, urls, results, options)
            results.finish([question.id for question in questions])
    summary = summarise(settings, results.lines, options.grader, options.published)
    rate = round(tokens / seconds, 1) if tokens else None
    print(summary.text())
    print(f"  speed      {rate or 'nothing generated in this call'}{' tokens a second' * bool(rate)}")
    print(f"  results    {results.file}")
    print(json.dumps(summary.record() | {"tokens_per_second": rate, "results": str(results.file)}), flush=True)
    return {True: REACHED, False: NOT_REACHED, None: NO_FIGURE}[summary.reached]


def _identified(urls: list[str]) -> tuple[str, str, set[str]]:
    """Checkpoint, engine and inputs of the services, which must be of one kind. Raises EvaluationError."""
    found = [asyncio.run(run.identify(url)) for url in urls]
    for url, each in zip(urls, found, strict=True):
        if each != found[0]:
            raise EvaluationError(
                f"{url} serves {each[0]} on {each[1]}, {urls[0]} {found[0][0]} on {found[0][1]}. One run asks one kind."
            )
    return found[0]


def _answer(plan: Plan, urls: list[str], results: Results, options: argparse.Namespace) -> tuple[int, float]:
    """Answers what has no line yet; the tokens and seconds that took."""
    answered = results.answered
    left = [question for question in plan.questions if question.id not in answered]
    right = sum(line[KEY[options.grader]] for line in results.lines)
    progress = Progress(plan.benchmark.title, len(plan.questions), len(answered), right)
    before, started = sum(line["tokens"] for line in results.lines), time.monotonic()

    def keep(line: run.Line) -> None:
        results.add(line)
        progress.add(line[KEY[options.grader]])

    try:
        if left and options.ray:
            for line in ray_job.answers(plan, left, urls, options.ray, options.concurrency):
                keep(line)
        elif left:
            asyncio.run(_answer_here(plan, left, urls[0], options.concurrency, keep))
    finally:
        progress.close()
    return sum(line["tokens"] for line in results.lines) - before, time.monotonic() - started


async def _answer_here(
    plan: Plan, questions: list[Question], url: str, in_flight: int, keep: Callable[[run.Line], None]
) -> None:
    try:
        async with aclosing(run.answers(plan, questions, url, in_flight)) as lines:
            async for line in lines:
                keep(line)
    finally:
        await judge().close()


@contextmanager
def _services(options: argparse.Namespace) -> Iterator[list[str]]:
    """Addresses of the services to ask; one started here where none is named, none where Ray's workers start theirs."""
    if options.url:
        if len(options.url) > 1 and not options.ray:
            raise EvaluationError("Several --url need --ray N, which asks them side by side.")
        yield [url.rstrip("/") for url in options.url]
    elif options.ray:
        yield []
    else:
        with LocalServer(say=lambda line: print(line, file=sys.stderr, flush=True)) as server:
            yield [server.url]


def _report(options: argparse.Namespace) -> int:
    folder = options.folder or Path("results")
    found = report.summaries(folder, options.grader)
    print(report.table(found))
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


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return value


def main() -> int:
    parser = arguments()
    options = parser.parse_args()
    if (options.what is None) == (options.compare is None):
        parser.error("name a benchmark, report, or --compare A B")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    for ending in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal sends the second
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    try:
        if options.compare:
            return _compare(options)
        return _report(options) if options.what == "report" else evaluate(options)
    except (EvaluationError, ServerFailed, ServiceError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nevaluate: stopped. The same command goes on from here.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
