"""Renders a checkpoint's chat template in a process of its own.

A template is a program that came with the checkpoint. In this process one that loops would stop every prediction, and
some of its loops no thread could end.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from deepseek_math.template_worker import CPU_SECONDS

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
        if not line:
            raise TemplateFailed(f"it took more than {CPU_SECONDS:g} s of processor time and was ended")
        said: dict[str, str] = json.loads(line)
        if "error" in said:
            raise TemplateFailed(said["error"])
        return said["text"]

    def _ask(self, request: str) -> str:
        """The worker's line, empty where it died of the request."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._end()
        return line

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", str(WORKER)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


_worker = _Worker()


def render(template: str, variables: dict[str, Any]) -> str:
    """The prompt's text. Waits, so call it in a thread. Raises TemplateFailed."""
    return _worker.render(template, variables)
