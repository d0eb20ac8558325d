"""Renders a checkpoint's chat template in a process of its own.

A template is a program that came with the checkpoint. In this process one that loops would stop every prediction, and
some of its loops no thread could end.
"""

import json
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

CPU_SECONDS = 2.0  # of one template; those of known checkpoints take a thousandth
WALL_SECONDS = 30.0  # for one template, on a machine that is busy
GRACE_SECONDS = 0.5
WORKER = Path(__file__).with_name("template_worker.py")


class TemplateFailed(Exception):
    """In words that go after "The checkpoint's chat template failed: "."""


class _Worker:
    """The process, started with the first template and again after one that had to be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def render(self, template: str, variables: dict[str, Any]) -> str:
        request = json.dumps({"template": template, "variables": variables}) + "\n"
        with self._lock:
            line = self._ask(request)
        said: dict[str, str] = json.loads(line)
        if "error" in said:
            raise TemplateFailed(said["error"])
        return said["text"]

    def _ask(self, request: str) -> str:
        """The worker's line. Raises TemplateFailed where it did not answer."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], WALL_SECONDS)
            line = self._process.stdout.readline() if ready else ""
        except BrokenPipeError:
            ready, line = [self._process.stdout], ""
        if line:
            return line
        status = self._end()
        if not ready:
            raise TemplateFailed(f"it took more than {WALL_SECONDS:g} s (timeout) and was ended")
        if status == -signal.SIGPROF:
            raise TemplateFailed(f"it took more than {CPU_SECONDS:g} s of processor time and was ended")
        raise TemplateFailed(f"the process that renders it ended with status {status}; the log says more")

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", str(WORKER), str(CPU_SECONDS)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def _end(self) -> int:
        """Ends the process and returns its status."""
        process, self._process = self._process, None
        assert process is not None
        try:
            return process.wait(GRACE_SECONDS)  # it has closed its output, or hangs
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


_worker = _Worker()


def render(template: str, variables: dict[str, Any]) -> str:
    """The prompt's text. Waits, so call it in a thread. Raises TemplateFailed."""
    return _worker.render(template, variables)
