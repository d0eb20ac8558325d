"""llama.cpp's own HTTP server on 127.0.0.1, in a process of its own: `with LlamaServer(path) as server: server.url`.

It has the settings that make the in-process engine exact, so the same seed must give the same text through both;
with `flags` it is as anyone starts it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from deepseek_math.paths import ROOT


class LlamaServer:
    def __init__(
        self, path: Path, context: int = 1024, slots: int = 16, key: str = "", flags: Sequence[str] = ()
    ) -> None:
        ours = ["tests.support.llama_server", str(path), str(context), str(slots), key]
        self._module = ["deepseek_math.bench.llama_server", "-m", str(path), "--port", "0", *flags] if flags else ours

    def __enter__(self) -> "LlamaServer":
        command = [sys.executable, "-m", *self._module]
        environment = os.environ | {"GOMP_SPINCOUNT": "200"}  # as the engine has it
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = ""
        while "http://" not in line:
            line = self.process.stdout.readline()
            assert line, f"llama.cpp's server ended with status {self.process.wait()}"
        self.url = line.strip().removeprefix("listening on ")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def at_work(self) -> int:
        """How many of its slots generate now."""
        slots: list[dict[str, Any]] = httpx.get(f"{self.url}/slots", trust_env=False).json()
        return sum(bool(slot["is_processing"]) for slot in slots)


def main() -> None:
    import xllamacpp

    from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine

    path, context, slots, key = sys.argv[1:]
    engine = LlamaCppEngine(Path(path), int(context), int(slots), threads=1)
    engine._folder = tempfile.TemporaryDirectory(prefix="llama-server-")
    params = engine._params("127.0.0.1")
    params.port = 0
    params.n_threads_http = 2 * int(slots) + 4
    params.endpoint_slots = True
    params.model_alias = {"random"}
    params.api_keys = [key] if key else []
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while os.getppid() != 1:  # it goes with the test that started it
        time.sleep(1.0)


if __name__ == "__main__":
    main()
