"""Who is measured: one table. A row says how a server is started, how it is asked, and how many it serves at once."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

import httpx

from deepseek_math.bench.processes import Peak, settle
from deepseek_math.bench.streams import COG, LLAMA, BenchError, Protocol
from deepseek_math.inputs import InputField
from deepseek_math.local.client import http
from deepseek_math.local.server import LocalServer, free_port
from deepseek_math.paths import ROOT

STOP_SECONDS = 10.0
SEEDS_INPUTS = (  # of seeds.py
    InputField("prompt", "str", "The text to continue."),
    InputField("max_new_tokens", "int", "The most tokens to generate.", default=64, minimum=1),
)
READY_SECONDS = 600.0  # the seeds' way unpacks a 7B's GGUF in less


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all: the weights, and how many threads, requests and tokens a request they are held for."""

    checkpoint: str  # as CHECKPOINT names it
    weights: Path
    threads: int
    slots: int
    context: int
    dtype: str  # of the seeds' way


class Server(Interface):
    url: str

    @property
    def process(self) -> "subprocess.Popen[bytes] | None": ...

    def start(self) -> object: ...

    def wait_until_ready(self, timeout: float) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Contender:
    key: str
    name: str
    note: str
    server: Callable[[Terms, Path], Server]  # the path is of a folder of its own
    protocol: Protocol
    queues: bool = False  # one request at a time, the others wait
    gguf_only: bool = False


class Program:
    """A program that serves HTTP on 127.0.0.1 and answers /health with 200 once it is ready."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._command, self._log = command, log

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
        assert self.process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with http(timeout=5.0) as session:
                    if session.get(f"{self.url}/health").status_code == httpx.codes.OK:
                        return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise BenchError(f"{self._command[0]} did not get ready:\n{self._log.read_text(errors='replace')[-2000:]}")

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


def _service(terms: Terms, folder: Path) -> Server:
    sizes = {"THREADS": terms.threads, "SLOTS": terms.slots, "CONTEXT": terms.context}
    environment = {"CHECKPOINT": terms.checkpoint, "COG_WEIGHTS": ""} | {
        name: str(size) for name, size in sizes.items()
    }
    return LocalServer(environment=environment, log=folder / "service.log")


def _seeds(terms: Terms, folder: Path) -> Server:
    shutil.copy(Path(__file__).with_name("seeds.py"), folder / "seeds.py")
    environment = {
        "BENCH_WEIGHTS": str(terms.weights.resolve()),
        "BENCH_DTYPE": terms.dtype,
        "BENCH_THREADS": str(terms.threads),
        "COG_WEIGHTS": "",
    }
    return LocalServer(
        reference="seeds.py:Predictor",
        inputs=SEEDS_INPUTS,
        concurrency=1,
        folder=folder,
        environment=environment,
        log=folder / "seeds.log",
    )


def _llama(*program: str) -> Callable[[Terms, Path], Server]:
    def server(terms: Terms, folder: Path) -> Server:
        port = free_port()
        sizes = {"--port": port, "-np": terms.slots, "-c": terms.slots * terms.context, "-t": terms.threads}
        flags = [str(word) for pair in sizes.items() for word in pair]
        command = [*program, "-m", str(terms.weights), "--host", "127.0.0.1", *flags]
        return Program(command, port, folder / f"llama-{port}.log")

    return server


SERVICE = Contender("service", "this service", "Cog's server, as make serve starts it", _service, COG)
SEEDS = Contender(
    "seeds",
    "the seeds' way",
    "generate() with a text streamer under Cog's server, one at a time",
    _seeds,
    COG,
    queues=True,
)
LLAMA_CPP = Contender(
    "llama",
    "llama.cpp server",
    "the one inside xllamacpp; flash attention, batch sizes and prompt cache as it has them by default",
    _llama(sys.executable, "-m", "deepseek_math.bench.llama_server"),
    LLAMA,
    gguf_only=True,
)


def contenders(terms: Terms) -> list[Contender]:
    """Those that can hold these weights. LLAMA_SERVER names a native llama-server."""
    native = os.environ.get("LLAMA_SERVER")
    if native and not shutil.which(native):
        raise BenchError(f"LLAMA_SERVER={native!r} is no program. Name a llama-server, or leave it unset.")
    rows = [SERVICE, SEEDS, LLAMA_CPP]
    if native:
        rows.append(Contender("native", "native llama-server", native, _llama(native), LLAMA, gguf_only=True))
    return [row for row in rows if terms.weights.suffix == ".gguf" or not row.gguf_only]


@dataclass(slots=True)
class Running:
    """A contender whose server is ready."""

    contender: Contender
    url: str
    pid: int
    threads: int  # of its engine
    start_seconds: float
    peak: Peak


@contextmanager
def running(contender: Contender, terms: Terms) -> Iterator[Running]:
    """Starts a contender's server, and stops it whatever happens."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server, peak = contender.server(terms, Path(folder)), Peak()
        began = time.perf_counter()
        try:
            server.start()
            assert server.process is not None
            with peak.follow(server.process.pid):
                server.wait_until_ready(READY_SECONDS)
            seconds = time.perf_counter() - began
            settle([server.process.pid])
            yield Running(contender, server.url, server.process.pid, terms.threads, seconds, peak)
        finally:
            server.stop()
