"""`dsm train STAGE`: what each stage takes. Its module is imported to run it: most need torch, `--help` does not."""

import argparse
import ast
import asyncio
import importlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deepseek_math.exit_status import exit_status
from deepseek_math.training.generator import distinct
from deepseek_math.training.grpo_settings import SETTINGS, too_few
from deepseek_math.training.measure import MODES
from deepseek_math.training.questions import read, write
from deepseek_math.training.stage import FAMILIES


def pretrain(arguments: Sequence[str] | None = None) -> int:
    return _grow("pretrain", "the folder of the run", arguments)


def finetune(arguments: Sequence[str] | None = None) -> int:
    return _grow("finetune", "the folder of the run, as for `dsm train pretrain`", arguments)


def _grow(stage: str, out: str, arguments: Sequence[str] | None) -> int:
    """A stage of the family's growth: it takes the run's folder, which `out` describes, and the sizes."""
    parser = _parser(stage)
    parser.add_argument("out", type=Path, help=out)
    parser.add_argument("--family", choices=FAMILIES, default="tiny", help="the sizes; default: tiny")
    options = parser.parse_args(arguments)
    module = importlib.import_module(f"deepseek_math.training.{stage}")

    def run() -> None:
        getattr(module, stage)(options.out, FAMILIES[options.family])

    return exit_status(run)


def questions(arguments: Sequence[str] | None = None) -> int:
    parser = _parser("questions")
    parser.add_argument("file", type=Path, help="the file to write")
    parser.add_argument("--count", type=int, default=8000, help="default: 8000")
    parser.add_argument("--seed", type=int, default=2, help="default: 2")
    parser.add_argument("--held-out", action="store_true", help="problems that no training reads")
    options = parser.parse_args(arguments)
    if options.count < 1:
        parser.error(f"--count {options.count}: use 1 or more")
    return exit_status(lambda: write(distinct(options.seed, options.count, held=options.held_out), options.file))


def grpo(arguments: Sequence[str] | None = None) -> int:
    parser = _parser("grpo")
    parser.add_argument("out", type=Path, help="the checkpoint folder to write")
    parser.add_argument("--questions", type=Path, required=True, help='JSON lines with "question" and "answer"')
    parser.add_argument("--held-out", type=Path, help="JSON lines to measure on between steps")
    parser.add_argument("--settings", choices=SETTINGS, default="published", help="default: published")
    parser.add_argument("--steps", type=int, help="instead of the settings' own; -1: once through the questions")
    parser.add_argument("--lora", type=int, default=0, help="rank of adapters; 0, the default, trains all weights")
    options = parser.parse_args(arguments)
    if options.lora < 0:
        parser.error(f"--lora {options.lora}: use a rank of 1 or more, or 0 for no adapters")
    settings = SETTINGS[options.settings]
    if options.steps is not None:
        settings = replace(settings, steps=options.steps)
    from deepseek_math.training import grpo as stage

    def run() -> None:
        asked = read(options.questions)
        held = read(options.held_out) if options.held_out else []
        fault = too_few(settings, len(asked))
        if fault:
            parser.error(fault)
        checkpoint = os.environ.get("CHECKPOINT") or "instruct"
        stage.grpo(checkpoint, asked, options.out, settings, held=held, lora=options.lora)

    return exit_status(run)


def measure(arguments: Sequence[str] | None = None) -> int:
    parser = _parser("measure")
    parser.add_argument("folder", type=Path, help="the checkpoint folder")
    parser.add_argument("--mode", choices=MODES, default="cot", help="default: cot")
    parser.add_argument("--count", type=int, default=1000, help="problems; default: 1000")
    parser.add_argument("--out", type=Path, help="a file of JSON lines to add the result to")
    options = parser.parse_args(arguments)
    if options.count < 1:
        parser.error(f"--count {options.count}: use 1 or more")
    from deepseek_math.training import measure as stage

    def run() -> None:
        line = json.dumps(asyncio.run(stage.measure(options.folder, options.mode, options.count)))
        print(line)
        if options.out:
            with options.out.open("a") as file:
                file.write(line + "\n")

    return exit_status(run)


def publish(arguments: Sequence[str] | None = None) -> int:
    parser = _parser("publish")
    parser.add_argument("run", type=Path, help="the folder of the run")
    parser.add_argument("weights", type=Path, help="the folder to write")
    options = parser.parse_args(arguments)
    from deepseek_math.training import publish as stage

    def run() -> None:
        size = stage.publish(options.run, options.weights)
        print(f"{options.weights}: {size:,} bytes")

    return exit_status(run)


def plot(arguments: Sequence[str] | None = None) -> int:
    parser = _parser("plot")
    parser.add_argument("logs", type=Path, help="the folder with grpo.jsonl and accuracy.jsonl")
    parser.add_argument("picture", type=Path, help="the file to write, such as accuracy.png")
    options = parser.parse_args(arguments)
    from deepseek_math.training import plot as stage

    return exit_status(lambda: stage.draw(options.logs, options.picture))


def _parser(stage: str) -> argparse.ArgumentParser:
    """The parser of a stage, with the docstring of its module read from the source."""
    source = Path(__file__).with_name(f"{stage}.py").read_text(encoding="utf-8")
    return argparse.ArgumentParser(
        prog=f"dsm train {stage}",
        description=ast.get_docstring(ast.parse(source)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
