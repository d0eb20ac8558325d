"""`python -m deepseek_math.bench.download`: a download of 1 GB on this machine against curl with as many connections.

Both fetch the same file from the same server in turn, three times; the last line is one JSON document with the best
of each. The server sends the file from the page cache with sendfile, so that it is not what is measured.
"""

import argparse
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from deepseek_math.checkpoints import ranges
from deepseek_math.paths import ROOT

PROGRAM = """
import resource, sys, time
from pathlib import Path
from deepseek_math.checkpoints import fetch, find, store
store.WEIGHTS = Path(sys.argv[1])
hashing = store._check
spent = 0.0
def timed(*arguments):
    global spent
    begun = time.perf_counter()
    hashing(*arguments)
    spent += time.perf_counter() - begun
store._check = timed
begun = time.perf_counter()
fetch(find(sys.argv[2]), lambda line: None)
whole = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(whole - spent, spent, peak * 1024)
"""


def serve(listening: socket.socket, path: Path) -> None:
    """Answers GET requests for parts of one file, a thread for each connection."""
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_answer, args=(connection, path), daemon=True).start()


def _answer(connection: socket.socket, path: Path) -> None:
    size = path.stat().st_size
    with connection, path.open("rb") as file:
        asked = b""
        while True:
            while b"\r\n\r\n" not in asked:
                try:
                    more = connection.recv(65536)
                except OSError:
                    return
                if not more:
                    return
                asked += more
            head, _, asked = asked.partition(b"\r\n\r\n")
            if b".sha256" in head.split(b"\r\n")[0]:
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            part = re.search(rb"(?i)range: bytes=(\d+)-(\d*)", head)
            start = int(part[1]) if part else 0
            end = min(int(part[2]) + 1 if part and part[2] else size, size)
            status = f"206 Partial Content\r\nContent-Range: bytes {start}-{end - 1}/{size}" if part else "200 OK"
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {end - start}\r\n\r\n".encode())
            try:
                while start < end:
                    start += os.sendfile(connection.fileno(), file.fileno(), start, end - start)
            except OSError:
                return


def curl(url: str, folder: Path, size: int) -> float:
    """Seconds that curl takes for the file in as many ranges, one process each, into one file a range."""
    step = -(-size // ranges.CONNECTIONS)
    os.sync()
    begun = time.perf_counter()
    processes = [
        subprocess.Popen(
            ["curl", "-s", "-r", f"{start}-{min(start + step, size) - 1}", "-o", str(folder / f"part{start}"), url]
        )
        for start in range(0, size, step)
    ]
    assert [process.wait() for process in processes] == [0] * len(processes)
    seconds = time.perf_counter() - begun
    for part in folder.glob("part*"):
        part.unlink()
    return seconds


def ours(url: str, folder: Path) -> tuple[float, float, int]:
    """Seconds of transfer, seconds of checking, and the peak of memory in bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as weights:
        command = [sys.executable, "-c", PROGRAM, weights, url]
        os.sync()  # what an earlier download left to be written would slow this one
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    transfer, check, peak = done.stdout.split()
    return float(transfer), float(check), int(peak)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=None, help="where to download to; the system's temporary folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(socket.socket(fileno=int(options.serve[0])), Path(options.serve[1]))
    size = options.megabytes * 1_000_000
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        file = folder / "file.gguf"
        with file.open("wb") as target:
            for _ in range(options.megabytes):
                target.write(os.urandom(1_000_000))
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        server = subprocess.Popen(
            [sys.executable, "-m", "deepseek_math.bench.download", "--serve", str(listening.fileno()), str(file)],
            cwd=ROOT,
            pass_fds=[listening.fileno()],
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/file.gguf"
        try:
            best: dict[str, float] = {}
            peak = 0
            for _ in range(options.rounds):
                seconds = {"curl": curl(url, folder, size)}
                seconds["ranges"], seconds["ranges check"], memory = ours(f"{url}#sha256={digest}", folder)
                peak = max(peak, memory)
                print({name: round(value, 2) for name, value in seconds.items()}, flush=True)
                best = {name: min(value, best.get(name, value)) for name, value in seconds.items()}
        finally:
            server.kill()
            server.wait()
    figures = {f"{name} MB/s": round(size / value / 1e6) for name, value in best.items()}
    figures["ranges peak MB"] = round(peak / 1e6)
    print(json.dumps(figures | {"ranges over curl": round(best["curl"] / best["ranges"], 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
