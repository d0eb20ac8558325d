"""Serves mixed traffic for a long time, and sees whether anything is lost, left over, or answered in another way.

Clients send plain requests, streams, asynchronous predictions with webhooks, votes, programs and bad input; they read
slowly, cancel, and drop connections, half of that in the first 10 ms. After each cycle they rest, and the server must
become idle. Then it is looked at: memory, descriptors, threads, temporary files.

What must hold: every prediction ends as its kind must, every one that Cog's log says has begun has one end there, equal
requests have equal answers, and what is left between cycles does not grow. CHECKPOINT in the environment names the
weights (the demo when unset). Prints two tables; the last line is JSON. The exit status is 1 where one of these did not
hold.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil

from deepseek_math.bench import processes
from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.streams import BenchError
from deepseek_math.bench.traffic import KINDS, Sender, Unexpected
from deepseek_math.bench.webhook_receiver import receiving
from deepseek_math.exit_status import FAILED
from deepseek_math.local.client import PredictionRefused
from deepseek_math.local.server import LocalServer
from deepseek_math.terminal import say

CYCLE = 30.0  # seconds of traffic between two looks
WARM_UP = 1  # cycles before the first look that counts: pools fill, allocators reach their size
IDLE_PATIENCE = 60.0  # seconds after the last request in which the server must become idle
ALLOWED = {"memory_mib": 64.0, "descriptors": 8, "threads": 4, "files": 2}  # growth from the first look to the last
BEGUN = "Starting prediction"  # messages of Cog's log
ENDED = ("Prediction worker completed", "Prediction cancelled", "Prediction failed")
FAULTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Look:
    """The server and all its processes, idle."""

    memory_mib: float
    descriptors: int
    threads: int
    files: int  # in its temporary folder


@dataclass(slots=True)
class Soak:
    """What has happened so far. `sent` and `faults` are by kind."""

    sent: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)  # of the faults
    looks: list[Look] = field(default_factory=list)
    busy: int = 0  # cycles after which the server did not become idle
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, fault: str | None) -> None:
        with self.lock:
            self.sent[kind] += 1
            if fault is not None:
                self.faults[kind] += 1
                self.words.append(f"{kind}: {fault}")

    def growth(self) -> dict[str, float]:
        """From the first look to the last."""
        first, last = self.looks[0], self.looks[-1]
        return {each.name: getattr(last, each.name) - getattr(first, each.name) for each in fields(Look)}


def send_until(soak: Soak, sender: Sender, deadline: float) -> None:
    """One client: one prediction after the other, of kinds drawn by chance."""
    names, weights = list(KINDS), [weight for _, weight in KINDS.values()]
    while time.monotonic() < deadline:
        (kind,) = sender.random.choices(names, weights)
        try:
            KINDS[kind][0](sender)
        except (Unexpected, httpx.HTTPError, PredictionRefused, OSError) as error:
            soak.note(kind, f"{type(error).__name__}: {error}")
        else:
            soak.note(kind, None)


def unaccounted(log: str) -> list[str]:
    """The ids that Cog's log has another number of ends of than of beginnings."""
    begun, ended = Counter[str](), Counter[str]()
    for line in log.splitlines():
        if '"prediction_id"' not in line:
            continue
        entry = json.loads(line)["fields"]
        if entry.get("message") == BEGUN:
            begun[entry["prediction_id"]] += 1
        elif entry.get("message") in ENDED:
            ended[entry["prediction_id"]] += 1
    return sorted(name for name in begun | ended if begun[name] != ended[name])


def look(process: int, folder: Path) -> Look:
    descriptors = threads = 0
    for number in processes.family(process):
        try:
            one = psutil.Process(number)
            descriptors, threads = descriptors + one.num_fds(), threads + one.num_threads()
        except psutil.NoSuchProcess:  # a sandbox that has just ended
            continue
    files = sum(path.is_file() for path in folder.rglob("*"))
    return Look(round(processes.memory(process) / 2**20, 1), descriptors, threads, files)


def run(server: LocalServer, folder: Path, options: argparse.Namespace) -> Soak:
    """Cycles of traffic and looks until the time is up."""
    assert server.process is not None
    process, soak = server.process.pid, Soak()
    texts: dict[str, str] = {}
    lock = threading.Lock()
    end = time.monotonic() + 60 * options.minutes
    with receiving() as receiver, ThreadPoolExecutor(options.clients) as pool:
        senders = [
            Sender(server.url, receiver, Random(f"{options.seed} {number}"), texts, lock, f"client{number}")
            for number in range(options.clients)
        ]
        cycle = 0
        while time.monotonic() < end or len(soak.looks) < 2:
            send = partial(send_until, soak, deadline=time.monotonic() + CYCLE)
            list(pool.map(send, senders))
            soak.busy += processes.settle([process], IDLE_PATIENCE) > processes.QUIET
            cycle += 1
            if cycle > WARM_UP:
                soak.looks.append(look(process, folder))
            say(f"cycle {cycle}: {soak.sent.total()} predictions, {soak.faults.total()} faults; {_last(soak)}")
    return soak


def _last(soak: Soak) -> str:
    return str(soak.looks[-1]) if soak.looks else "warm"


def failings(soak: Soak, lost: Sequence[str], tracebacks: int) -> list[str]:
    """What did not hold, each in a line."""
    found = [f"{kind}: {number} of {soak.sent[kind]} went wrong" for kind, number in soak.faults.items()]
    if lost:
        found.append(f"{len(lost)} predictions began and did not end once: {', '.join(lost[:FAULTS_SHOWN])}")
    if soak.busy:
        found.append(f"the server was not idle {IDLE_PATIENCE:g} s after {soak.busy} cycles")
    if tracebacks:
        found.append(f"the server's log has {tracebacks} tracebacks")
    for name, grown in soak.growth().items():
        if grown > ALLOWED[name]:
            found.append(f"{name} grew by {grown:g}; {ALLOWED[name]:g} is allowed")
    return found


def tables(soak: Soak) -> str:
    """What was sent, and what was left between the cycles."""
    lines = [f"{'':24}{'sent':>8}{'wrong':>8}"]
    lines += [f"{kind:24}{soak.sent[kind]:>8}{soak.faults[kind]:>8}" for kind in KINDS]
    lines += [f"{'all':24}{soak.sent.total():>8}{soak.faults.total():>8}", ""]
    lines.append(f"{'between cycles':24}{'first':>10}{'last':>10}{'highest':>10}")
    for each in fields(Look):
        values = [getattr(one, each.name) for one in soak.looks]
        lines.append(f"{each.name:24}{values[0]:>10g}{values[-1]:>10g}{max(values):>10g}")
    return "\n".join(lines)


def _bench(options: argparse.Namespace) -> int:
    if options.minutes <= 0 or options.clients < 1:
        raise BenchError(f"--minutes {options.minutes:g} --clients {options.clients}: use more than 0, and 1 or more.")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        environment = {"CHECKPOINT": os.environ.get("CHECKPOINT") or "demo", "TMPDIR": folder}
        with LocalServer(environment=environment, say=say) as server:
            soak = run(server, Path(folder), options)
            log = server.log.read_text(errors="replace")
            lost, tracebacks = unaccounted(log), log.count("Traceback (most recent call last)")
            found = failings(soak, lost, tracebacks)
            server.keep_log = bool(found)
    print("\n".join(["", tables(soak), "", *(f"! {line}" for line in found)]))
    for words in soak.words[:FAULTS_SHOWN]:
        say(words)
    if found:
        say(f"bench: the server's log is kept: {server.log}")
    print(json.dumps(_summary(soak, lost, tracebacks, time.monotonic() - began)), flush=True)
    return FAILED if found else 0


def _summary(soak: Soak, lost: Sequence[str], tracebacks: int, seconds: float) -> Mapping[str, Any]:
    return {
        "seconds": round(seconds, 1),
        "sent": dict(soak.sent),
        "wrong": dict(soak.faults),
        "unaccounted": len(lost),
        "busy_cycles": soak.busy,
        "tracebacks": tracebacks,
        "looks": [asdict(one) for one in soak.looks],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench soak", __doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of traffic and looks (default: 10)")
    parser.add_argument("--clients", type=int, default=8, help="that send at once (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of what they send (default: 0)")
    options = parser.parse_args(arguments)
    return status_of(lambda: _bench(options))
