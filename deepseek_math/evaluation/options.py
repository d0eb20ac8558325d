"""The command's options, checked before anything starts: an option that would have no effect is refused."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.summary import KEY, PUBLISHED
from deepseek_math.inputs import BY_NAME
from deepseek_math.jobs.service_options import add_service_options, require_a_url_each, whole

TAKEN = {  # by what is done; a benchmark takes all but --picture and FOLDER
    "report": {"folder", "picture", "grader"},
    "--compare": {"grader"},
}
EPILOG = """exit status:
  0    the published figure lies inside the 95 % Wilson interval of the accuracy, or below it
  1    the published figure lies above the interval
  2    the run could not start or go on, with the reason (what was answered is kept), or every question was refused;
       also any fault of this command itself, with its traceback
  3    the run is complete, but there is no published figure to compare it with: none for this benchmark, checkpoint,
       mode and number of samples, or one for other settings, which the summary names
  130  stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (a closed terminal); the same command goes on where it stopped
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dsm evaluate",
        description="Whether a served checkpoint reaches its published score.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("what", nargs="?", choices=[*BENCHMARKS, "report"], help="a benchmark, or report")
    parser.add_argument("folder", nargs="?", type=Path, help="report: of results files (default: results)")
    add = parser.add_argument
    add("--limit", type=whole(), metavar="N", help="only the first N questions")
    add("--data", type=Path, metavar="FILE", help="the questions as JSON lines; without it they come from the hub")
    add("--mode", choices=["cot", "tool"], help="how the question is asked (default: cot)")
    add("--shots", metavar="FILE", help="base checkpoints: worked questions as JSON lines, or train (their default)")
    add("--shot-count", type=whole(), metavar="K", help="how many shots (default: as published)")
    add("--samples", type=_of_input("samples"), metavar="K", help="majority of K completions (default: 1, greedy)")
    add(
        "--max-new-tokens",
        type=_of_input("max_new_tokens"),
        metavar="N",
        help="default: as published, 1024; 2048 with --mode tool",
    )
    add(
        "--max-tool-rounds",
        type=_of_input("max_tool_rounds"),
        metavar="N",
        help="--mode tool: programs a completion (default: 2, as published)",
    )
    add("--seed", type=int, help="of a vote's first completion (default: 0)")
    add("--grader", choices=list(KEY), help="which count decides; both are reported (default: strict)")
    add("--published", choices=PUBLISHED, help="whose published figure (default: the checkpoint's own)")
    add("--out", type=Path, metavar="FILE", help="the results file (default: results/BENCHMARK-...-CHECKPOINT.jsonl)")
    add_service_options(parser)
    add("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two results files, question by question")
    add("--picture", type=Path, metavar="FILE", help="report: where the picture goes (default: FOLDER/report.png)")
    return parser


def _of_input(name: str) -> Callable[[str], int]:
    """Reads a whole number from 1 to the maximum of the service's input of that name."""
    maximum = BY_NAME[name].maximum
    assert maximum is not None
    return whole(int(maximum))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Ends the command with status 2 where an option is wrong or would have no effect."""
    command = parser()
    options = command.parse_args(arguments)
    if (options.what is None) == (options.compare is None):
        command.error("name a benchmark, report, or --compare A B")
    without_effect = _without_effect(options)
    if without_effect:
        command.error(f"these would have no effect: {'; '.join(sorted(without_effect))}")
    require_a_url_each(command, options)
    options.grader, options.mode = options.grader or "strict", options.mode or "cot"
    options.samples, options.seed = options.samples or 1, options.seed or 0
    return options


def _without_effect(options: argparse.Namespace) -> list[str]:
    """The options that were passed but do nothing beside the others, each with the reason."""
    passed = {name for name, value in vars(options).items() if value is not None} - {"what", "compare"}
    doing = options.what or "--compare"
    taken = TAKEN.get(doing, set(vars(options)) - {"picture", "folder"})
    found = [f"{_spelling(name)} ({doing} does not take it)" for name in passed - taken]
    needs = {
        "seed": ("--samples over 1: a single completion is greedy", (options.samples or 1) > 1),
        "max_tool_rounds": ("--mode tool", options.mode == "tool"),
        "shots": ("--mode cot: base checkpoints have no tool mode here", options.mode != "tool"),
        "url": ("--ray N for several, which asks them side by side", len(options.url or []) <= 1 or options.ray),
    }
    for name, (need, met) in needs.items():
        if name in passed & taken and not met:
            found.append(f"{_spelling(name)} (needs {need})")
    return found


def _spelling(name: str) -> str:
    return "FOLDER" if name == "folder" else f"--{name.replace('_', '-')}"
