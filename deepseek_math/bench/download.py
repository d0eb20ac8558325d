"""Measures a download of 1 GB on this machine against curl with as many connections.

Both fetch the same file from the same server on 127.0.0.1, in turn. The last line is JSON with the best round of each.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.checkpoints import ranges
from deepseek_math.paths import ROOT

MEGABYTE = 1_000_000
# In a process of its own, as its peak of memory is measured. WEIGHTS_FOLDER says where to.
FETCH = """
import resource, sys, time
from deepseek_math.checkpoints import fetch, find
began = time.perf_counter()
fetch(find(sys.argv[1]), lambda line: None)
seconds = time.perf_counter() - began
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, 1024 * kilobytes)
"""


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of each, and the peak of our process's memory in bytes."""

    curl: float
    ours: float  # without the check
    check: float  # of the file's SHA-256
    peak: int


@contextmanager
def served(file: Path) -> Iterator[str]:
    """The URL of the file, on a server in a process of its own."""
    command = [sys.executable, "-m", "deepseek_math.bench.file_server", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/{file.name}"
        finally:
            server.kill()


def with_curl(url: str, folder: Path, size: int) -> float:
    """Seconds that curl takes for the file in as many ranges, with a process and a file for each range."""
    step = -(-size // ranges.CONNECTIONS)
    os.sync()  # what an earlier download left to be written would slow this one
    began = time.perf_counter()
    processes = []
    for start in range(0, size, step):
        part = f"{start}-{min(start + step, size) - 1}"
        processes.append(subprocess.Popen(["curl", "-s", "-f", "-r", part, "-o", str(folder / f"part{start}"), url]))
    statuses = [process.wait() for process in processes]
    seconds = time.perf_counter() - began
    for path in folder.glob("part*"):
        path.unlink()
    if any(statuses):
        raise subprocess.CalledProcessError(max(statuses), "curl")
    return seconds


def with_ours(url: str, folder: Path) -> tuple[float, int]:
    """Seconds of `checkpoints.fetch`, its check of the SHA-256 included, and the process's peak of memory in bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as weights:
        os.sync()
        done = subprocess.run(
            [sys.executable, "-c", FETCH, url],
            cwd=ROOT,
            env=os.environ | {"WEIGHTS_FOLDER": weights},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    seconds, peak = done.stdout.split()
    return float(seconds), int(peak)


def hashed(file: Path) -> tuple[str, float]:
    """The file's SHA-256, and the seconds that it took."""
    began = time.perf_counter()
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return digest, time.perf_counter() - began


def measure(folder: Path, size: int, rounds: int) -> list[Round]:
    """Prints a line for each round."""
    file = folder / "file.gguf"
    with file.open("wb") as target:
        target.write(b"GGUF" + os.urandom(MEGABYTE - 4))  # by which a download knows the format
        for _ in range(size // MEGABYTE - 1):
            target.write(os.urandom(MEGABYTE))
    found = []
    with served(file) as url:
        for _ in range(rounds):
            curl = with_curl(url, folder, size)
            digest, check = hashed(file)
            seconds, peak = with_ours(f"{url}#sha256={digest}", folder)
            found.append(Round(curl, seconds - check, check, peak))
            print(f"curl {curl:.2f} s, ours {seconds - check:.2f} s, and its check {check:.2f} s", flush=True)
    return found


def summary(rounds: Sequence[Round], size: int) -> dict[str, float]:
    curl, ours, check = (min(getattr(each, name) for each in rounds) for name in ("curl", "ours", "check"))
    return {
        "curl MB/s": round(size / curl / MEGABYTE),
        "ranges MB/s": round(size / ours / MEGABYTE),
        "ranges check MB/s": round(size / check / MEGABYTE),
        "ranges peak MB": round(max(each.peak for each in rounds) / MEGABYTE),
        "ranges over curl": round(curl / ours, 2),
    }


def _bench(options: argparse.Namespace) -> None:
    size = options.megabytes * MEGABYTE
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rounds = measure(Path(folder), size, options.rounds)
    print(json.dumps(summary(rounds, size)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench download", __doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the file (default: 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--folder", type=Path, help="where to download to (default: the system's temporary folder)")
    options = parser.parse_args(arguments)
    if options.megabytes < 1 or options.rounds < 1:
        parser.error(f"--megabytes {options.megabytes} --rounds {options.rounds}: use 1 or more of each")
    return status_of(lambda: _bench(options))
