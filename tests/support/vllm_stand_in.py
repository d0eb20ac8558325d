"""What stands in for vLLM where only the child process is at stake: `vllm serve` as a small server on a Unix socket.

`make_environment(folder)` is an environment for VLLM_ENVIRONMENT. Its vLLM has a second process, which is even in a
session of its own. Each start is a line of `folder/starts` with both ids. Files in the folder change it: `fail` ends a
start with an error, `brittle` at its first request, `gpus` is how many it sees, `wait` are seconds before it serves.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepseek_math.paths import ROOT
from tests.support.hostile_completions import HostileCompletions, Play, vllm

VERSION = "9.9"
PAUSE = 0.02  # seconds before each token
MAIN = """
import runpy, sys
sys.path.insert(0, {!r})
runpy.run_module("tests.support.vllm_stand_in", run_name="__main__")
"""
TORCH = """
from pathlib import Path
class cuda:
    @staticmethod
    def device_count():
        file = Path({!r}, "gpus")
        return int(file.read_text()) if file.exists() else 0
"""


def make_environment(folder: Path) -> Path:
    from deepseek_math.engines.remote.handshake import SAMPLE  # a stand-in that starts need not import it

    (folder / "sample").write_text(SAMPLE)
    packages = folder / "packages"
    (packages / "vllm" / "entrypoints" / "cli").mkdir(parents=True)
    (packages / "vllm" / "entrypoints" / "cli" / "main.py").write_text(MAIN.format(str(ROOT)))
    (packages / f"vllm-{VERSION}.dist-info").mkdir()
    (packages / f"vllm-{VERSION}.dist-info" / "METADATA").write_text(f"Name: vllm\nVersion: {VERSION}\n")
    (packages / "torch.py").write_text(TORCH.format(str(folder)))
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nSTAND_IN={folder} PYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


def starts(folder: Path) -> list[tuple[int, int]]:
    """The ids of the server and of its engine, of each start."""
    file = folder / "starts"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(server), int(engine)) for server, engine in map(str.split, lines)]


def lives(number: int) -> bool:
    import psutil

    with suppress(psutil.NoSuchProcess):
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    return False


class _OnSocket(HostileCompletions):
    address_family = socket.AF_UNIX

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        super().__init__(text=text)

    def play(self, body: dict[str, Any]) -> Play:
        if Path(os.environ["STAND_IN"], "brittle").exists():
            print("RuntimeError: CUDA error: an illegal memory access was encountered", flush=True)
            os._exit(3)
        if body.get("ignore_eos"):
            return super().play(body)
        events = vllm(*["a "] * body["max_tokens"], finish="length", prompt=len(body["prompt"]))
        return Play([each for event in events for each in (PAUSE, event)])

    def server_bind(self) -> None:
        self.socket.bind(self.path)

    def get_request(self) -> Any:
        connection, _ = self.socket.accept()
        return connection, ("vllm", 0)


def main() -> None:
    folder, told = Path(os.environ["STAND_IN"]), sys.argv[1:]
    print("INFO loading ", end="", flush=True)
    print("\rINFO loaded: 100 %\nGPU KV cache size: 9,000 tokens", " ".join(told), flush=True)
    print("(APIServer pid=7) WARNING 11-27 22:35:52 [system.py:1] This may cause errors like `OSError: Too many`.")
    if (folder / "fail").exists():
        print(
            "(EngineCore pid=7) ERROR 11-27 22:35:52 [core.py:1] ValueError: No room for 512 tokens.", file=sys.stderr
        )
        sys.exit("RuntimeError: Engine core initialization failed. See root cause above.")
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    with (folder / "starts").open("a") as file:
        file.write(f"{os.getpid()} {engine.pid}\n")
    wait = folder / "wait"
    time.sleep(float(wait.read_text()) if wait.exists() else 0.0)
    server = _OnSocket(told[told.index("--uds") + 1], (folder / "sample").read_text())
    server.models = [{"id": told[told.index("--served-model-name") + 1], "max_model_len": 512}]
    print("Application startup complete", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
