"""A real server whose engine knows answers by heart (predictors/exam.py), and the command that questions it."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from deepseek_math.answers import judging
from deepseek_math.batch.command import main as batch_main
from deepseek_math.evaluation.command import main
from deepseek_math.inputs import InputField
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from tests.support.predictor_inputs import EXAM
from tests.support.session_judge import session_judge

Exam = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class ExamService:
    url: str
    notes: Path
    stop: Callable[[], None]

    def asked(self) -> list[dict[str, Any]]:
        """Every completion that the engine was asked for: question, seed, prompt."""
        return [json.loads(line) for line in self.notes.read_text().splitlines()]


@contextmanager
def exam_service(
    folder: Path, exam: Exam, inputs: Sequence[InputField] = EXAM, port: int = 0, **environment: str
) -> Iterator[ExamService]:
    """`inputs` are what the service's document says of its inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "exam.json").write_text(json.dumps(exam))
    notes = folder / "asked.jsonl"
    notes.touch()
    variables = {"EXAM": str(folder / "exam.json"), "ASKED": str(notes)} | environment
    shutil.copy(ROOT / "tests/support/predictors/exam.py", folder)
    server = LocalServer(port=port, reference="exam.py:Predictor", inputs=inputs, folder=folder, environment=variables)
    with server:
        yield ExamService(server.url, notes, server.stop)


def command(*arguments: object) -> list[str]:
    return dsm("evaluate", *arguments)


def dsm(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "deepseek_math", *map(str, arguments)]


ENVIRONMENT = {"CHECKPOINT": "none"}


def evaluate(*arguments: object) -> tuple[int, dict[str, Any], str]:
    return in_process(main, *arguments)


def batch(*arguments: object) -> tuple[int, dict[str, Any], str]:
    return in_process(batch_main, *arguments)


def in_process(main: Callable[[Sequence[str]], int], *arguments: object) -> tuple[int, dict[str, Any], str]:
    """A command in this process: its exit status, its last line as JSON, and everything that it said."""
    out, errors = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with (
        chdir(ROOT),
        mock.patch.dict(os.environ, ENVIRONMENT),
        mock.patch.object(judging, "Judge", session_judge),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return read(status, out.getvalue(), errors.getvalue())


def evaluate_alone(*arguments: object) -> tuple[int, dict[str, Any], str]:
    """As `evaluate`, in a process of its own."""
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return read(done.returncode, done.stdout, done.stderr)


def read(status: int, out: str, errors: str) -> tuple[int, dict[str, Any], str]:
    last = (out.strip().splitlines() or ["{}"])[-1]
    return status, json.loads(last) if last.startswith("{") else {}, out + errors


def lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a results file behind its header."""
    return [json.loads(line) for line in file.read_text().splitlines()[1:]]


def write(file: Path, *rows: Mapping[str, Any]) -> Path:
    """A file of JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def gsm8k(folder: Path, count: int) -> Path:
    """`count` questions in GSM8K's form, whose answers are 0, 1, 2, ..."""
    rows = [{"question": f"What is number {n} of all?", "answer": str(n), "cot": "Count."} for n in range(count)]
    return write(folder / f"gsm8k-{count}.jsonl", *rows)


def perfect(count: int) -> dict[str, str]:
    return {f"What is number {n} of all?": f"I count. It is \\boxed{{{n}}}." for n in range(count)}
