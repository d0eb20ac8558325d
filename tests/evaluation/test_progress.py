"""What a run shows while it goes on."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

from deepseek_math.jobs.progress import Progress
from deepseek_math.paths import ROOT
from tests.support.exam_service import command, exam_service, gsm8k, perfect

COUNT = 40


def test_a_terminal_shows_a_bar_with_accuracy_and_time_left(tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    with exam_service(tmp_path / "exam", perfect(COUNT)) as service:
        arguments = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, COUNT), "--out", tmp_path / "out.jsonl")
        process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=inner)
        os.close(inner)
        said = b""
        with contextlib.suppress(OSError):  # a terminal whose other end is closed
            while piece := os.read(outer, 4096):
                said += piece
        os.close(outer)
        assert process.wait() == 0
    assert re.search(rb"GSM8K: 100%.*\| 40/40 \[\d\d:\d\d<\d\d:\d\d, .*accuracy 100\.0%\]", said), said


def test_progress_shows_accuracy_and_the_time_left() -> None:
    progress = Progress("GSM8K", 200, 50, 30, "accuracy")
    for correct in (True, False):
        progress.add(correct)
    assert progress.line(10.0) == "GSM8K: 52 of 200, accuracy 59.6%, 12:20 left"
