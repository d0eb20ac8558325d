"""`dsm batch`: a file of questions in, the same rows with their answers out.

The answers are kept in a journal beside the output as they come. The output is written from it at the end, whole or
not at all.
"""

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from deepseek_math.batch import input_file, output_file
from deepseek_math.batch.arguments import parse
from deepseek_math.batch.openai_form import OpenAIForm
from deepseek_math.batch.question_file import Questions, open_questions
from deepseek_math.batch.run import FORMAT, KIND, OPTION, Run
from deepseek_math.batch.tally import Tally
from deepseek_math.checkpoints.download_faults import DISK_FULL
from deepseek_math.errors import ServiceError
from deepseek_math.jobs import JobError, ray_workers
from deepseek_math.jobs.journal import Journal
from deepseek_math.jobs.served import identify_all, services
from deepseek_math.local.server import ServerFailed
from deepseek_math.local.typed_inputs import InputsMistyped
from deepseek_math.signals import run_until_stopped
from deepseek_math.terminal import printable, say

ALL_ANSWERED, SOME_FAILED, STOPPED = 0, 1, 2
PIPE = "-"  # standard input


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: see the help text."""
    return run_until_stopped(lambda: _status(arguments), "batch: stopped. The same command goes on from here.")


def _status(arguments: Sequence[str] | None) -> int:
    try:
        return _batch(parse(arguments))
    except (InputsMistyped, JobError, ServerFailed, ServiceError, httpx.HTTPError, httpx.InvalidURL) as error:
        say(f"batch: {error}")
    except OSError as error:
        kept = " What was answered is kept: free some space, and the same command goes on."
        say(f"batch: {error}.{kept if error.errno in DISK_FULL else ''}")
    except Exception:  # Python's own status would be 1, which is that of rows that failed
        traceback.print_exc()
    return STOPPED


def _batch(options: argparse.Namespace) -> int:
    """Answers the rows, or goes on with them; prints a summary and, last, one JSON line."""
    output = options.out.resolve()
    output_format = input_file.format_of(output)
    journal_file = output.with_name(f"{output.name}.journal")
    with _regular_file(options.file, output.parent) as file:
        _require_others(file, output, journal_file)
        name = "standard input" if options.file == PIPE else options.file
        questions = open_questions(file, name, _format(options), options.inputs, options.columns, options.prefix)
        schema = _schema(questions, output_format)
        survey = questions.survey()
        with Journal(journal_file, KIND, FORMAT, OPTION) as journal:
            settings = {"inputs": options.inputs}
            journal.require(settings)
            run = Run(questions, survey, journal, options.keep_failed)
            if run.left:
                with services(options.url, options.ray, say) as urls:
                    served = identify_all(urls) if urls else ray_workers.own_service(say)
                    journal.begin(settings | served.header())
                    run.answer(served, urls, options.ray, options.concurrency or served.in_flight)
            tally = run.write(output, output_format, schema)
    _show(tally, run, options.out)
    return SOME_FAILED if tally.failed else ALL_ANSWERED


@contextmanager
def _regular_file(name: str, folder: Path) -> Iterator[Path]:
    """A file that can be read several times: the one of that name, or what comes through a pipe, kept in `folder`
    until the run ends."""
    file = Path(name)
    if name != PIPE and (file.is_file() or not file.exists()):
        yield file
        return
    if name != PIPE and file.is_dir():
        raise JobError(f"{file} is a folder, not a file of questions.")
    if name == PIPE and sys.stdin.isatty():
        raise JobError("- is standard input, and nothing is piped into it. Name a file, or pipe one in.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".questions-") as kept:
        source = sys.stdin.buffer if name == PIPE else file.open("rb")
        with source:
            shutil.copyfileobj(source, kept)
        kept.flush()
        yield Path(kept.name)


def _format(options: argparse.Namespace) -> str:
    """The questions' format, as told. A name without an ending, such as a pipe's, says none: JSON lines then."""
    if options.file == PIPE or not Path(options.file).suffix:
        return options.format or "jsonl"
    return input_file.format_of(Path(options.file), options.format)


def _require_others(file: Path, output: Path, journal: Path) -> None:
    """Raises JobError where the output is something else already."""
    for path in (output, journal):
        if path.exists() and file.exists() and path.samefile(file):
            raise JobError(f"{path} is the file of questions. Name another output with {OPTION}.")
    if output.exists() and not journal.exists():
        raise JobError(
            f"{output} exists, and no journal of a run is beside it. Remove it, or name another with {OPTION}."
        )


def _schema(questions: Questions, output_format: str) -> Any:
    """The types of Parquet's columns; None for another output. Raises JobError where it can't hold the rows."""
    if isinstance(questions.form, OpenAIForm):
        if output_format != "jsonl":
            raise JobError("OpenAI's batch files are answered as JSON lines: name an output that ends in .jsonl.")
        return None
    if output_format != "parquet":
        return None
    rows = input_file.rows(questions.file, questions.format)
    return output_file.parquet_schema((row.columns for row in rows), questions.form.prefix)


def _show(tally: Tally, run: Run, output: Path) -> None:
    rate = round(run.tokens / run.seconds, 1) if run.tokens else None
    print(printable(tally.text()))
    print(f"  speed      {f'{rate} tokens a second' if rate else 'nothing generated in this call'}")
    print(f"  written    {output}")
    record = {"seconds": round(run.seconds, 2), "tokens_per_second": rate, "output": str(output)}
    print(json.dumps(tally.record() | record), flush=True)
