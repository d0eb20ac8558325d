"""`make bench` on toy weights: what it ends with, what it leaves behind, and the sums that it reports."""

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch

pytest.importorskip("matplotlib", reason="matplotlib draws bench.png: make setup-bench")

from deepseek_math.bench import clients, figures, gpu, loads, result_table, side_by_side, streams, workload
from deepseek_math.bench.bandwidth import bandwidth
from deepseek_math.bench.contenders import LLAMA_CPP, ORIGINAL, SERVICE, Running, Terms, running
from deepseek_math.bench.figures import NEWCOMER, Measured
from deepseek_math.bench.http_program import STOP_SECONDS
from deepseek_math.bench.loads import ENOUGH, LOADS, NEWCOMERS, OTHERS, Load, Sample, measure
from deepseek_math.bench.original_predictor import Predictor
from deepseek_math.bench.processes import QUIET, Clock, Peak, memory, settle
from deepseek_math.bench.streams import COG_API, LLAMA_API, BenchError
from deepseek_math.cli import COMMANDS
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.local.client import crowd, http
from deepseek_math.paths import ROOT
from deepseek_math.retry import RetryPolicy
from deepseek_math.training.gguf_file import convert
from deepseek_math.training.stage import Shape
from deepseek_math.training.tiny_model import fresh, write
from deepseek_math.training.vocabulary import grow
from tests.support.loopback import LoopbackServer
from tests.support.loopback import running as serving
from tests.support.tiny_llama import make_tiny_llama

BENCHES = {name: each.entry.partition(":")[0] for name, each in COMMANDS.items() if name.startswith("bench")}
SERVERS = ("deepseek_math.bench.llama_server", "cog.server.http")  # in the command lines of the servers that it starts
SAMPLE = Sample(
    speed=100.0,
    first=[0.1, 0.2, 0.3, 0.4],
    waited=[],
    gaps=[0.01] * 98 + [0.5, 0.9],
    prompt_tokens=[80] * 4,
    tokens=200,
    processor=4.0,
    outside=0.1,
    busy=0.0,
    others_at_work=None,
    idle_share=0.0,
    client_share=0.0,
    seconds=2.0,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of a two-layer Llama with random weights, which knows the words of the bench's prompts."""
    folder = tmp_path_factory.mktemp("toy")
    tokenizer = grow([workload.prompt(number) for number in range(40)], 600)
    write(fresh(Shape(600, 64, 128, 2), tokenizer, seed=0), tokenizer, folder / "toy", template=True)
    convert(folder / "toy", folder / "toy.gguf")
    return folder / "toy.gguf"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "deepseek_math", "bench", *map(str, arguments)]


def environment(weights: Path, **others: str) -> dict[str, str]:
    return os.environ | {"CHECKPOINT": str(weights), "CONTEXT": "512", "SLOTS": "16"} | others


def bench(weights: Path, picture: Path, *arguments: object, **others: str) -> tuple[dict[str, Any], str]:
    """The last line as JSON, and everything before it."""
    done = subprocess.run(
        command("--rounds", 1, "--tokens", 3, "--picture", picture, *arguments),
        cwd=ROOT,
        env=environment(weights, **others),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *before, last = done.stdout.splitlines()
    return json.loads(last), "\n".join(before)


@pytest.mark.parametrize("rival", ["llama", "original"])
def test_it_ends_with_a_table_a_picture_and_a_line_of_json(weights: Path, tmp_path: Path, rival: str) -> None:
    """On a GGUF file with llama.cpp's server; on a folder, which llama.cpp can't read, with the original predictor."""
    files = weights if rival == "llama" else make_tiny_llama(tmp_path / "folder")
    only = ["--only", "service", "llama"] if rival == "llama" else []
    record, said = bench(files, tmp_path / "bench.png", *only)
    assert list(record["contenders"]) == ["service", rival]
    for key, found in record["contenders"].items():
        assert list(found["loads"]) == ["1", "4", "16", NEWCOMER]
        for load in LOADS:
            measured = found["loads"][str(load.streams)]
            assert measured["tokens_per_second"]["median"] > 0
            assert ("outside_share" in measured) == (key != "original")
        assert found["memory_gib"] > 0
        assert found["start_seconds"] > 0
    waits = record["contenders"][rival]["loads"]["16"]["first_p95"]
    assert ("at_least" in waits) == (rival == "original")  # which serves one at a time
    name = {"llama": "llama.cpp server", "original": "the original predictor"}[rival]
    assert set(record["ratios"]) == {name}
    assert {"1", "4", "16"} <= set(record["ratios"][name])
    for title in ("1 stream ", "4 streams", "16 streams", "new, beside 15", "start, s"):
        assert title in said
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_native_llama_server_is_measured_where_one_is_named(weights: Path, tmp_path: Path) -> None:
    """The stand-in takes the same flags: it is the server inside xllamacpp."""
    native = tmp_path / "llama-server"
    native.write_text(f'#!/bin/sh\nexec {sys.executable} -m deepseek_math.bench.llama_server "$@"\n')
    native.chmod(0o755)
    record, _ = bench(weights, tmp_path / "bench.png", "--only", "llama", "native", LLAMA_SERVER=str(native))
    assert list(record["contenders"]) == ["llama", "native"]
    assert record["contenders"]["native"]["loads"]["16"]["tokens_per_second"]["median"] > 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_server_behind(weights: Path, tmp_path: Path, how: signal.Signals) -> None:
    with started(weights, "--only", "service", "llama", "--tokens", 16, "--picture", tmp_path / "bench.png") as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not all(map(seen(process).count, SERVERS)):
            time.sleep(0.1)
        servers = psutil.Process(process.pid).children(recursive=True)
        assert all(map(seen(process).count, SERVERS))
        process.send_signal(how)
        process.communicate(timeout=60)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert not psutil.wait_procs(servers, timeout=10)[1]
    assert not (tmp_path / "bench.png").exists()


@contextmanager
def started(weights: Path, *arguments: object) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment(weights), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def seen(process: "subprocess.Popen[bytes]") -> list[str]:
    """Which of SERVERS run below `process`."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            found += [name for name in SERVERS if name in child.cmdline()]
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize(
    ("arguments", "others", "reason"),
    [
        (["--picture", "results/"], {}, "--picture results can't be written"),
        (["--picture", "nowhere/bench.png"], {}, "--picture nowhere/bench.png can't be written"),
        (
            ["--picture", "bench.xyz"],
            {},
            "--picture bench.xyz can't be written. Use a file ending in .png, .svg, .pdf in a folder that exists",
        ),
        (["--only", "servce", "llama"], {}, "--only servce can't be measured here, only service, original, llama can"),
        (["--only", "service", "native"], {}, "--only native can't be measured"),
        (["--rounds", "0"], {}, "--rounds 0 --tokens 64: use 1 or more"),
        (["--tokens", "0"], {}, "--tokens 0: use 1 or more"),
        (["--tokens", "120"], {}, "--tokens 120 may need a context of"),
        ([], {"LLAMA_SERVER": "/no/such/program"}, "is not a program"),
        ([], {"CHECKPOINT": "no-such-thing"}, "checkpoint_unknown"),
        (["--only", "service", "llama", "--tokens", "16"], {"SLOTS": "10000000"}, "service, llama: at once they need "),
    ],
)
def test_what_can_not_be_measured_is_refused_before_anything_starts(
    weights: Path, arguments: list[str], others: dict[str, str], reason: str
) -> None:
    run = [*command(), *arguments]
    done = subprocess.run(run, cwd=ROOT, env=environment(weights) | others, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "ready" not in done.stderr


def test_weights_that_fit_memory_once_are_measured_one_after_the_other(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terms = Terms("toy", weights, threads=1, slots=16, context=512, dtype="bfloat16")
    cache = 16 * 512 * read_header(weights).kv_values_per_token * side_by_side.BYTES_PER_VALUE
    once = weights.stat().st_size + cache
    monkeypatch.setattr(side_by_side, "free_bytes", lambda: once + once // 2)
    with pytest.raises(BenchError, match="service, llama: at once they need .* with --only"):
        side_by_side.require_memory([SERVICE, LLAMA_CPP], terms)
    with monkeypatch.context() as smaller:
        smaller.setattr(side_by_side, "free_bytes", lambda: once - 1)
        with pytest.raises(BenchError, match=r"Set SLOTS or CONTEXT lower\.$"):
            side_by_side.require_memory([SERVICE], terms)
    for name, value in environment(weights).items():
        monkeypatch.setenv(name, value)
    assert clients.main(["--clients", "1", "3", "--tokens", "4"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["server"], row["clients"], row["failed"]) for row in rows] == [
        ("this service", 1, 0),
        ("this service", 3, 0),
        ("llama.cpp server", 1, 0),
        ("llama.cpp server", 3, 0),
    ]
    assert all(0 < row["first"] <= row["seconds"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "others", "reason"),
    [
        (["--clients", "0"], {}, "use 1 or more of each"),
        (["--prompt", "500"], {}, "may take 517 tokens, and the context is 512"),
    ],
)
def test_a_load_of_clients_that_can_not_be_measured_is_refused(
    weights: Path,
    arguments: list[str],
    others: dict[str, str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (environment(weights) | others).items():
        monkeypatch.setenv(name, value)
    assert clients.main(arguments) == 1
    assert reason in capsys.readouterr().err


@pytest.fixture
def quiet_rival(weights: Path, tmp_path: Path) -> Iterator[Running]:
    terms = Terms("toy", weights, threads=1, slots=16, context=4096, dtype="bfloat16")
    with running(LLAMA_CPP, terms) as server:
        yield server


def test_a_load_that_begins_while_servers_are_busy_is_marked(
    quiet_rival: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "settle", lambda pids: settle(pids, patience=0.5))
    assert measure(quiet_rival, LOADS[0], 0, 3, []).busy <= QUIET
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            found = measure(quiet_rival, LOADS[0], 1, 3, [replace(quiet_rival, pid=busy.pid)])
        finally:
            busy.kill()
    assert found.busy > QUIET


def test_a_newcomer_that_came_when_the_others_had_left_is_marked(quiet_rival: Running) -> None:
    many, few = measure(quiet_rival, None, 0, 900, []), measure(quiet_rival, None, 1, 1, [])
    assert many.others_at_work == OTHERS
    assert few.others_at_work is not None
    assert few.others_at_work < OTHERS  # four tokens of a toy are over before the last of 15 has begun


class OneAtATime(LoopbackServer):
    """Cog's server before a sync predictor: 409 beside a prediction. `silent`: nothing but comments after one event."""

    def __init__(self, silent: bool = False) -> None:
        super().__init__(_OneAtATime)
        self.silent, self.busy, self.left = silent, threading.Lock(), 0


class _OneAtATime(BaseHTTPRequestHandler):
    server: OneAtATime

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        if not self.server.busy.acquire(blocking=False):
            self.send_error(409)
            return
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for _ in range(asked["max_new_tokens"]):
                self._tell("output", {"chunk": "x"})
                while self.server.silent and not self.server.closing.wait(0.02):
                    self.wfile.write(b": keep-alive\n\n")
            self._tell("completed", {"status": "succeeded", "metrics": {"prompt_tokens": 1, "completion_tokens": 1}})
        except OSError:
            self.server.left += 1
        finally:
            self.server.busy.release()

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        time.sleep(0.02)
        self.wfile.write(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("load", [LOADS[-1], None])
def test_what_a_server_of_one_request_at_a_time_has_begun_is_not_cancelled(
    load: Load | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "settle", lambda pids: 0.0)
    at_once = RetryPolicy(first_wait=0.001, factor=1.0)  # so that a request is on its way at any time
    monkeypatch.setattr(streams, "BUSY_RETRY", at_once)
    with serving(OneAtATime()) as server:
        measure(Running(ORIGINAL, server.url, os.getpid(), 1, 0.0, Peak()), load, 0, 5, [])
        assert server.busy.acquire(timeout=10)  # what is still at work has met its client's end
    assert server.left == 0


async def test_a_server_that_falls_silent_amid_a_reply_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SILENCE", 0.3)
    with serving(OneAtATime(silent=True)) as server:
        async with crowd(1) as session:
            with pytest.raises(BenchError, match=r"sent nothing for 0\.3 s"):
                await streams.ask(session, server.url, COG_API, streams.Reply(time.perf_counter()), "?", 3)


class _Fails(BaseHTTPRequestHandler):
    """llama.cpp's server, which fails all that are at work when a newcomer comes."""

    server: LoopbackServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        newcomer = asked["n_predict"] == 1
        failed = self.server.failed  # type: ignore[attr-defined]
        self._tell({"content": "x"})
        if newcomer:
            failed.set()
            time.sleep(0.3)
        elif failed.wait(10):
            self._tell({"error": {"message": "lost"}})
            return
        self._tell({"content": "", "stop": True, "tokens_evaluated": 1, "tokens_predicted": 1})

    def _tell(self, data: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_fault_of_those_that_a_newcomer_comes_beside_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "settle", lambda pids: 0.0)
    with serving(LoopbackServer(_Fails)) as server:
        server.failed = threading.Event()  # type: ignore[attr-defined]
        with pytest.raises(BenchError, match="lost"):
            measure(Running(LLAMA_CPP, server.url, os.getpid(), 1, 0.0, Peak()), None, 0, 5, [])


def test_doubts_are_in_the_record_and_below_the_table() -> None:
    doubtful = [SAMPLE, replace(SAMPLE, busy=0.4), replace(SAMPLE, others_at_work=OTHERS - 1)]
    found = Measured("a", 1.0, 1, {"4": doubtful}).record()
    assert found["loads"]["4"].items() >= {"busy_rounds": 1, "fewer_others_rounds": 1}.items()
    assert "! a, 4: the servers were not idle before it in rounds: 1" in result_table.table({"a": found})
    assert "! a, 4: fewer than 15 others were still at work in rounds: 1" in result_table.table({"a": found})
    sure = Measured("a", 1.0, 1, {NEWCOMER: [replace(SAMPLE, others_at_work=OTHERS)]}).record()
    assert set(sure["loads"][NEWCOMER]) == {"first_p50", "first_p95"}
    assert "!" not in result_table.table({"a": sure})


READER = """
import mmap, os, sys
file = open(sys.argv[1], "rb")
pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        break
sum(pages[::4096])
os.write(1, b"read\\n")
sys.stdin.read()
"""


@contextmanager
def readers(file: Path, children: int) -> Iterator[int]:
    """A process, and children of it, that map `file` and have read all of it."""
    run = [sys.executable, "-c", READER, str(file), str(children)]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(1 + children):
            assert process.stdout.readline() == b"read\n"
        yield process.pid
        process.stdin.close()


def test_memory_counts_a_file_once_for_a_family_whoever_else_maps_it(tmp_path: Path) -> None:
    file, size = tmp_path / "weights", 64 * 2**20
    file.write_bytes(os.urandom(size))
    with readers(file, children=2) as first:
        alone = memory(first)
        assert size < alone < 1.5 * size
        with readers(file, children=0) as second:
            assert memory(first) == pytest.approx(alone, rel=0.01)
            assert size < memory(second) < 1.5 * size  # who starts later pays as much


def test_llama_cpp_s_server_ends_on_sigterm_with_requests_in_line(weights: Path, tmp_path: Path) -> None:
    terms = Terms("toy", weights, threads=1, slots=1, context=512, dtype="bfloat16")
    with running(LLAMA_CPP, terms) as server, ThreadPoolExecutor(64) as clients:
        begun = threading.Semaphore(0)

        def ask(number: int) -> None:
            body = LLAMA_API.body(workload.prompt(number), 300)
            with suppress(httpx.HTTPError), http(timeout=60.0) as session:
                begun.release()
                session.post(server.url + LLAMA_API.path, json=body)

        asked = [clients.submit(ask, number) for number in range(64)]
        for _ in asked:
            begun.acquire()
        time.sleep(0.5)  # for what was begun to be in line
        psutil.Process(server.pid).terminate()
        assert psutil.Process(server.pid).wait(STOP_SECONDS) == 0


def test_the_original_predictor_raises_what_generation_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"WEIGHTS": make_tiny_llama(tmp_path / "folder"), "DTYPE": "float32", "THREADS": torch.get_num_threads()}
    for name, value in settings.items():
        monkeypatch.setenv(f"BENCH_{name}", str(value))
    predictor = Predictor()
    predictor.setup()
    said = queue.SimpleQueue[BaseException | None]()

    def predict() -> None:
        try:
            list(predictor.predict(prompt="What is 12 + 30?", max_new_tokens=0))  # which generate() refuses
        except BaseException as error:
            said.put(error)
        else:
            said.put(None)

    threading.Thread(target=predict, daemon=True).start()
    assert "max_new_tokens" in str(said.get(timeout=60))


def test_the_first_that_only_names_is_held_against_the_rest(weights: Path, tmp_path: Path) -> None:
    record, _ = bench(weights, tmp_path / "bench.png", "--only", "llama", "service")
    assert list(record["contenders"]) == ["llama", "service"]
    assert list(record["ratios"]) == ["this service"]


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [figures.percentile(values, share) for share in (0.0, 0.2, 0.5, 0.8, 0.81, 1.0)] == [1, 1, 3, 4, 5, 5]
    assert figures.percentile([7.0], 0.99) == 7.0
    assert figures.percentile([], 0.5) is None


def measured(name: str, *speeds: float, first: float = 0.1) -> Measured:
    rounds = [replace(SAMPLE, speed=speed) for speed in speeds]
    return Measured(name, 3.21, 2**30, {"16": rounds, NEWCOMER: [replace(SAMPLE, speed=0.0, first=[first])]})


def test_figures_are_medians_over_the_rounds_not_means() -> None:
    found = measured("a", 100.0, 10.0, 120.0).record()["loads"]["16"]
    assert found["tokens_per_second"] == {"median": 100.0, "low": 10.0, "high": 120.0}
    assert found["first_p50"]["median"] == 0.2
    assert found["first_p95"]["median"] == 0.4
    assert found["gap_p99"]["median"] == 0.5
    assert found["outside_share"]["median"] == 5.0  # 0.1 s of processor time in 2 s
    assert found["outside_at_192"]["median"] == pytest.approx(9.6)  # 0.5 ms a token, 192 tokens a second
    assert "tokens_per_second" not in measured("a", 1.0).record()["loads"][NEWCOMER]


def test_a_wait_that_did_not_end_counts_as_at_least_that() -> None:
    waited = Measured("q", 1.0, 1, {"16": [SAMPLE, replace(SAMPLE, waited=[9.0] * 13)]}).record()
    assert waited["loads"]["16"]["first_p50"]["at_least"]
    assert ">4.600" in result_table.table({"q": waited})
    assert ">" not in result_table.table({"a": measured("a", 1.0).record()})
    one = Measured("q", 1.0, 1, {"4": [replace(SAMPLE, waited=[9.0])]}).record()["loads"]["4"]
    assert "at_least" in one["first_p95"]
    assert "at_least" not in one["first_p50"]  # most were served before the wait in vain mattered


def test_ratios_set_the_first_against_the_others_and_over_one_is_better() -> None:
    mine, theirs = measured("ours", 90.0, 110.0, 100.0, first=0.5), measured("theirs", 80.0, first=0.4)
    found = figures.ratios({"ours": mine.record(), "theirs": theirs.record()})
    assert found == {"theirs": {"16": 1.25, NEWCOMER: 0.8}}
    assert "1.25 at 16; a newcomer's wait: 0.80" in result_table.comparison(found)


def test_the_busiest_threads_are_the_engine_and_all_else_is_outside() -> None:
    before = Clock(10.0, {"loop": 1.0, "engine": 5.0, "team": 4.0})
    after = Clock(20.5, {"loop": 1.3, "engine": 9.9, "team": 9.0, "new": 0.1})  # and 0.2 s of a thread that ended
    spent, outside = after.since(before, engine_threads=2)
    assert spent == pytest.approx(10.5)
    assert outside == pytest.approx(10.5 - 4.9 - 5.0)


def test_no_two_prompts_begin_alike_and_a_place_has_its_prompt() -> None:
    """A server that has read one must not have read a part of another: a prompt cache would answer for it."""
    count = sum(load.requests for load in LOADS) + OTHERS + NEWCOMERS
    places = [(number, load) for number in range(7) for load in range(count)]
    starts = {workload.prompt(*place)[:40] for place in places}
    assert len(starts) == len(places)
    assert workload.prompt(0, 16, 3) == workload.prompt(0, 16, 3)
    assert LOADS[0].requests >= ENOUGH


@pytest.mark.parametrize(
    ("device", "terabytes"),
    [
        ("NVIDIA H100 80GB HBM3", 3.35),
        ("NVIDIA H100 PCIe", 2.0),
        ("NVIDIA A100-SXM4-80GB", 2.039),
        ("NVIDIA L40S", 0.864),
        ("NVIDIA L4", 0.3),
        ("NVIDIA L40", None),
        ("Tesla V100-SXM2-16GB", 0.9),
        ("Tesla V100-PCIE-32GB", 0.9),
        ("NVIDIA A100-SXM4-40GB", 1.555),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", None),
        ("CPU", None),
    ],
)
def test_a_device_s_bandwidth_is_found_by_its_whole_name(device: str, terabytes: float | None) -> None:
    assert bandwidth(device) == (terabytes and pytest.approx(terabytes * 1e12))


def test_the_gpu_bench_takes_its_whole_path_on_a_toy(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--toy", "--tokens", "4", "--rounds", "1"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["streams"] for row in record["streams"]] == [1, 16, 64]
    assert all(row["tokens_per_second"] > 0 for row in record["streams"])
    assert record["kernels"].startswith("attention ")


def test_the_gpu_bench_says_that_it_needs_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    assert "needs a GPU" in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHES)
def test_a_command_s_help_says_how_it_is_called(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"deepseek_math.{BENCHES[name]}").main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: dsm {name} ")
