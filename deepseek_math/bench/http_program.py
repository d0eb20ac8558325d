"""A program that serves HTTP on 127.0.0.1 and answers /health with 200 once it is ready."""

import os
import subprocess
import time
from pathlib import Path

import httpx

from deepseek_math.bench.streams import BenchError
from deepseek_math.local.client import http
from deepseek_math.paths import ROOT

STOP_SECONDS = 10.0
LOG_SHOWN = 2000  # characters of the log's end that an error shows


class HttpProgram:
    """A child process, started and stopped as LocalServer is."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._log = log

    def start(self) -> None:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C reaches the bench alone, which then stops it in order
            )

    def wait_until_ready(self, timeout: float) -> None:
        """Raises BenchError with the end of the program's log."""
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._is_ready():
                return
            time.sleep(0.1)
        end_of_log = self._log.read_text(errors="replace")[-LOG_SHOWN:]
        raise BenchError(f"{self._command[0]} did not start:\n{end_of_log}")

    def _is_ready(self) -> bool:
        try:
            with http(timeout=5.0) as session:
                return session.get(f"{self.url}/health").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
