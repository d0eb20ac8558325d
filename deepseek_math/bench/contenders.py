"""What is compared: one table. A row says how a server is started and asked, and whether it serves one at a time."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from deepseek_math.bench.http_program import HttpProgram
from deepseek_math.bench.processes import Peak, settle
from deepseek_math.bench.streams import COG_API, LLAMA_API, Api, BenchError
from deepseek_math.inputs import InputField
from deepseek_math.local.server import LocalServer, free_port

ORIGINAL_INPUTS = (  # of original_predictor.py
    InputField("prompt", "str", "The text to continue."),
    InputField("max_new_tokens", "int", "The most tokens to generate.", default=64, minimum=1),
)
READY_SECONDS = 600.0  # the original predictor unpacks a 7B's GGUF in less


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all contenders: the weights, and how many threads, requests and tokens they run with."""

    checkpoint: str  # as CHECKPOINT names it
    weights: Path
    threads: int
    slots: int
    context: int  # tokens of one request
    dtype: str  # of the original predictor


class Server(Protocol):
    url: str

    @property
    def process(self) -> "subprocess.Popen[bytes] | None": ...

    def start(self) -> object: ...

    def wait_until_ready(self, timeout: float) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Contender:
    key: str  # as --only names it
    name: str
    note: str
    server: Callable[[Terms, Path], Server]  # the path is an empty folder for it
    api: Api
    one_at_a_time: bool = False
    gguf_only: bool = False


def _service(terms: Terms, folder: Path) -> Server:
    environment = {
        "CHECKPOINT": terms.checkpoint,
        "COG_WEIGHTS": "",
        "THREADS": str(terms.threads),
        "SLOTS": str(terms.slots),
        "CONTEXT": str(terms.context),
    }
    return LocalServer(environment=environment, log=folder / "service.log")


def _original(terms: Terms, folder: Path) -> Server:
    name = "original_predictor.py"
    shutil.copy(Path(__file__).with_name(name), folder / name)
    environment = {
        "BENCH_WEIGHTS": str(terms.weights.resolve()),
        "BENCH_DTYPE": terms.dtype,
        "BENCH_THREADS": str(terms.threads),
        "COG_WEIGHTS": "",
    }
    return LocalServer(
        reference=f"{name}:Predictor",
        inputs=ORIGINAL_INPUTS,
        concurrency=1,
        folder=folder,
        environment=environment,
        log=folder / "original_predictor.log",
    )


def _llama(program: tuple[str, ...], terms: Terms, folder: Path) -> Server:
    port = free_port()
    sizes = {"--port": port, "-np": terms.slots, "-c": terms.slots * terms.context, "-t": terms.threads}
    command = [*program, "-m", str(terms.weights), "--host", "127.0.0.1"]
    for flag, size in sizes.items():
        command += [flag, str(size)]
    return HttpProgram(command, port, folder / f"llama-{port}.log")


SERVICE = Contender("service", "this service", "Cog's server, as dsm serve starts it", _service, COG_API)
ORIGINAL = Contender(
    "original",
    "the original predictor",
    "generate() with a text streamer under Cog's server, one request at a time",
    _original,
    COG_API,
    one_at_a_time=True,
)
LLAMA_CPP = Contender(
    "llama",
    "llama.cpp server",
    "the one inside xllamacpp, with its own defaults for flash attention, batch sizes and prompt cache",
    partial(_llama, (sys.executable, "-m", "deepseek_math.bench.llama_server")),
    LLAMA_API,
    gguf_only=True,
)


def contenders(terms: Terms) -> list[Contender]:
    """Those that can load these weights. LLAMA_SERVER names a native llama-server. Raises BenchError."""
    rows = [SERVICE, ORIGINAL, LLAMA_CPP]
    native = os.environ.get("LLAMA_SERVER")
    if native:
        if not shutil.which(native):
            raise BenchError(f"LLAMA_SERVER={native!r} is not a program. Name a llama-server, or leave it unset.")
        server = partial(_llama, (native,))
        rows.append(Contender("native", "native llama-server", native, server, LLAMA_API, gguf_only=True))
    if terms.weights.suffix == ".gguf":
        return rows
    return [row for row in rows if not row.gguf_only]


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
    """Starts a contender's server, and stops it in any case."""
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
