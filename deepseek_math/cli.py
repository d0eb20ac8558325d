"""The command `dsm`: one table of what it can do. A command's module is imported when it is called."""

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from deepseek_math import __version__


@dataclass(frozen=True, slots=True)
class Command:
    entry: str  # module:function, within this package
    summary: str
    setup: str = "setup"  # the Makefile's goal that installs its packages


COMMANDS = {
    "predict": Command("local.command:predict", "answer one prompt: here, or with --url by a running service"),
    "chat": Command("local.chat:main", "hold a conversation in the terminal: with a model here, or with --url"),
    "serve": Command("local.command:serve", "serve Cog's HTTP API on this machine, without Docker"),
    "openai": Command("door.command:main", "serve OpenAI's API on this machine, before Cog's", "setup-openai"),
    "page": Command("page.command:main", "show solutions in the browser, mathematics set", "setup-page"),
    "health": Command("local.health:main", "say whether a service is well, as an exit status for probes"),
    "checkpoints": Command("checkpoints.command:main", "list the known checkpoints and what is on disk"),
    "checkpoints remove": Command("checkpoints.removal:main", "remove a downloaded checkpoint from the disk"),
    "fetch": Command("checkpoints.command:fetch_named", "download a checkpoint"),
    "batch": Command("batch.command:main", "answer a file of questions: JSON lines, CSV or Parquet"),
    "evaluate": Command("evaluation.command:main", "run a benchmark and compare with its published score"),
    "image": Command("local.image:build", "build a checkpoint's container image with cog"),
    "push": Command("local.image:push", "build a checkpoint's container image with cog and push it"),
    "schema": Command("cog.command:main", "print the OpenAPI document of replicate/predict.py"),
    "bench": Command("bench.side_by_side:main", "measure speed beside the original and llama.cpp", "setup-bench"),
    "bench gpu": Command("bench.gpu:main", "measure the 7B's shape on this machine's GPU", "setup-bench"),
    "bench variants": Command("bench.variants:main", "measure llama.cpp with other settings than those in use"),
    "bench sandbox": Command("bench.sandbox:main", "measure what running programs costs", "setup-tool"),
    "bench batch": Command("bench.batch_rows:main", "measure dsm batch beside a bare client"),
    "bench door": Command("bench.door_cost:main", "measure what OpenAI's API costs before Cog's", "setup-openai"),
    "bench download": Command("bench.download:main", "measure a download of 1 GB beside curl"),
    "bench scale": Command("bench.scale:main", "write estimates for large GPUs to docs/cluster.md", "setup-bench"),
    "bench ceiling": Command(
        "bench.ceiling:main", "measure what our code costs a token, with free engines", "setup-bench"
    ),
    "bench clients": Command("bench.clients:main", "measure what a few clients wait for", "setup-bench"),
    "bench stops": Command("bench.stops:main", "cancel and drop predictions in their first milliseconds"),
    "bench soak": Command("bench.soak:main", "serve mixed traffic for a long time, and see whether all of it holds"),
    "bench votes": Command("bench.votes:main", "compare two orders of counting a vote, on recorded answers"),
    "bench seven-b": Command("bench.seven_b:main", "make and load random weights of the 7B's shape", "setup-bench"),
    "train pretrain": Command("training.command:pretrain", "train tiny base from nothing", "setup-train"),
    "train finetune": Command("training.command:finetune", "train tiny instruct from tiny base", "setup-train"),
    "train questions": Command("training.command:questions", "write a file of questions for GRPO", "setup-train"),
    "train grpo": Command("training.command:grpo", "train a checkpoint with GRPO", "setup-train"),
    "train measure": Command("training.command:measure", "measure a tiny checkpoint's accuracy", "setup-train"),
    "train publish": Command("training.command:publish", "copy trained checkpoints to weights/tiny", "setup-train"),
    "train plot": Command("training.command:plot", "draw the logs of a training run", "setup-train"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status; 2 for a command that does not exist."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage(COMMANDS))
        return 0
    if words[0] == "--version":
        print(f"dsm {__version__}")
        return 0
    stages = {name: command for name, command in COMMANDS.items() if name.startswith(f"{words[0]} ")}
    if words[0] not in COMMANDS and stages and words[1:] in ([], ["-h"], ["--help"]):
        print(usage(stages))
        return 0
    second = " ".join(words[1:2])
    length = 2 if stages and second and not second.startswith("-") else 1
    name = " ".join(words[:length])
    if name not in COMMANDS:
        print(_unknown(name), file=sys.stderr)
        return 2
    return _run(name, words[length:])


def _run(name: str, arguments: Sequence[str]) -> int:
    """Imports the command and runs it. Where packages are missing, says how they are installed."""
    command = COMMANDS[name]
    module, _, function = command.entry.partition(":")
    try:
        status: int = getattr(importlib.import_module(f"deepseek_math.{module}"), function)(arguments)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("deepseek_math"):
            print(f"dsm {name} is not part of the container. Run it in a clone of the repository.", file=sys.stderr)
            return 1
        print(f"dsm {name} needs the package {error.name}. Install it with: make {command.setup}", file=sys.stderr)
        return 1
    return status


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"dsm has no command {name!r}.{hint} `dsm --help` lists them."


def usage(commands: dict[str, Command]) -> str:
    width = max(map(len, commands))
    lines = ["usage: dsm COMMAND [options]", ""]
    lines += [f"  {name:{width}}  {command.summary}" for name, command in commands.items()]
    lines += ["", "`dsm COMMAND --help` lists a command's options, `dsm --version` prints the version."]
    return "\n".join(lines)
