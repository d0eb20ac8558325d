"""The command's options, checked before anything is read."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from deepseek_math.batch.input_file import FORMATS
from deepseek_math.inputs import BY_NAME
from deepseek_math.jobs.service_options import add_service_options, require_a_url_each
from deepseek_math.local.command import MODEL, words_option
from deepseek_math.local.typed_inputs import settings_of

EPILOG = """exit status:
  0    every row has its completion
  1    the output is whole, but some rows failed: their error_code and error say why
  2    the run could not start or go on, with the reason; what was answered is kept
  130  stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP (a closed terminal); the same command goes on where it stopped
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dsm batch",
        description=f"Answers a file of questions, and writes its rows with their answers. {MODEL}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("file", help="questions: .jsonl, .csv, .tsv or .parquet, or OpenAI's batch file; - is standard input")
    add("settings", nargs="*", metavar="name=value", help="inputs of all rows, such as samples=8")
    add("-o", "--out", type=Path, required=True, metavar="FILE", help="the output, in the format that its name ends in")
    add("--inputs", type=words_option, default=[], metavar="TEXT", help="more name=value, in one text")
    add(
        "--column", action="append", default=[], metavar="INPUT=NAME", help="prompt=text: the column text is the prompt"
    )
    add("--prefix", default="", metavar="TEXT", help="stands before the name of each new column")
    add("--format", choices=list(FORMATS), help="of the questions, where the name does not say it")
    add("--keep-failed", action="store_true", help="do not try rows again that have failed in an earlier call")
    add_service_options(parser)
    return parser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Ends the command with status 2 where an option is wrong. Raises InputsMistyped for an unknown input."""
    command = parser()
    options = command.parse_intermixed_args(arguments)
    options.inputs = settings_of(options.inputs + options.settings, os.environ)
    options.columns = _columns(command, options.column)
    require_a_url_each(command, options)
    return options


def _columns(command: argparse.ArgumentParser, told: list[str]) -> dict[str, str]:
    """Which column is which input, as told; an empty name says that none is."""
    columns: dict[str, str] = {}
    for each in told:
        name, equals, column = each.partition("=")
        if not equals or name not in BY_NAME or name in columns:
            command.error(f"--column {each}: write INPUT=NAME, each input once. Inputs: {', '.join(BY_NAME)}")
        columns[name] = column
    return columns
