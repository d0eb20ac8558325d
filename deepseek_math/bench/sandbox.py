"""Measures what running programs costs. Prints four tables; the last line is JSON.

0. What the process that starts sandboxes costs: processor time, memory.
1. A one-line program, from asking for a sandbox to its output: from the warm pool, forked on demand, and as a fresh
   interpreter with its imports.
2. The gaps between the chunks of a stream of SmolLM2 135M, with 8 hostile programs and without, in windows that take
   turns. What counts is the median of the windows' ratios, as other work on the machine comes and goes. A second quiet
   window in each turn shows how far chance alone moves that ratio.
3. A program of 0.3 s of processor time, alone and beside 16 streams.

`--gaps 0.25 inf 0` measures 2 and 3 only, for each of these values of `Limits.prompt_seconds`. `--rounds 20` and
`--chunks 400` measure longer. `--threads 1` gives the engine one core, which leaves the others to programs.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

import psutil

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.checkpoints import CHECKPOINTS, fetch
from deepseek_math.completion import Completion, complete
from deepseek_math.engines.protocol import Engine
from deepseek_math.engines.registry import open_engine
from deepseek_math.programs.sandbox import packages
from deepseek_math.programs.sandbox.limits import Limits
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings

LINE = "print(12 + 30)"
FRESH = (
    "import sympy, numpy, scipy.optimize, scipy.integrate, scipy.stats, pandas, networkx, matplotlib.pyplot; " + LINE
)
HOSTILE = [
    "while True: pass",
    "x = []\nwhile True: x.append(bytearray(2**24))",
    "while True: print('x' * 1000)",
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "while True: open('x', 'wb').write(bytes(2**21))",
    "9 ** 9 ** 9",
    "import numpy\nwhile True: numpy.ones((500, 500)) @ numpy.ones((500, 500))",
    "import time\nwhile True: time.sleep(0.0001)",
]
BENIGN = "import time\nfrom sympy import *\nx = symbols('x')\nwhile time.process_time() < 0.3: integrate(x * exp(x), x)"
CHECKPOINT = "smollm2-135m"
CONTEXT = 512
RUNS, FRESH_RUNS, BENIGN_RUNS = 30, 5, 3
ROUNDS, CHUNKS, STREAMS = 8, 150, 16

Pools = Mapping[str, Sandboxes]


async def warm(sandboxes: Sandboxes) -> float:
    """Milliseconds of LINE at the median, with pauses in which the pool fills again."""
    took = []
    for _ in range(RUNS):
        await asyncio.sleep(0.3)
        started = time.perf_counter()
        async with sandboxes.open(seed=0) as sandbox:
            outcome = await sandbox.run(LINE)
        took.append(1000 * (time.perf_counter() - started))
        assert outcome.printed == "42\n", outcome
    return median(took)


async def forked(sandboxes: Sandboxes) -> float:
    """Milliseconds where no process waits: each is forked and confined on demand."""
    launcher = sandboxes._launcher
    assert launcher is not None
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        process = await launcher.make()
        await process.run(LINE, 0)
        took.append(1000 * (time.perf_counter() - started))
        process.kill()
    return median(took)


def fresh() -> float:
    """Milliseconds of a new interpreter with the imports."""
    took = []
    for _ in range(FRESH_RUNS):
        started = time.perf_counter()
        command = [sys.executable, "-S", "-c", FRESH]
        environment = {"PYTHONPATH": str(packages.default_folder())}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        took.append(1000 * (time.perf_counter() - started))
    return median(took)


async def costs(sandboxes: Sandboxes) -> dict[str, float]:
    """Of the process that starts sandboxes: seconds of processor time for its imports, MiB that it holds, and
    milliseconds of processor time of it and its children for a one-line program. Other work on the machine moves these
    less than it moves a latency."""
    launcher = sandboxes._launcher
    assert launcher is not None
    assert launcher._zygote is not None
    zygote = psutil.Process(launcher._zygote.pid)
    imports = _processor_seconds(zygote)
    await warm(sandboxes)
    await asyncio.sleep(2)
    each = (_processor_seconds(zygote) - imports) / RUNS
    held = zygote.memory_info().rss / 2**20
    print(f"imports {imports:.1f} s of processor time, {held:.0f} MiB; a one-line program {1000 * each:.0f} ms of it")
    return {"imports seconds": imports, "zygote MiB": held, "one line processor ms": 1000 * each}


def _processor_seconds(process: psutil.Process) -> float:
    """Of a process and of its children that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


async def latencies(sandboxes: Sandboxes) -> dict[str, float]:
    found = {"warm": await warm(sandboxes), "forked": await forked(sandboxes), "fresh": fresh()}
    print("a one-line program, median of", RUNS)
    for name, milliseconds in found.items():
        print(f"  {name:8}{milliseconds:10.1f} ms")
    return found


async def gaps(engine: Engine, ids: list[int], chunks: int = CHUNKS) -> list[float]:
    """Milliseconds between the pieces of one stream."""
    sampling = Sampling(max_new_tokens=chunks)
    times = []
    async with aclosing(complete(engine, Prompt("raw", "", tuple(ids)), sampling, Completion())) as pieces:
        async for _ in pieces:
            times.append(time.perf_counter())
    return [1000 * (later - earlier) for earlier, later in pairwise(times)]


async def stream_forever(engine: Engine, ids: list[int]) -> None:
    while True:
        await gaps(engine, ids)


async def attack_forever(sandboxes: Sandboxes, program: str) -> None:
    while True:
        async with sandboxes.open(seed=0) as sandbox:
            await sandbox.run(program)


@asynccontextmanager
async def in_background(jobs: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]


async def stalls(engine: Engine, pools: Pools, rounds: int, chunks: int) -> dict[str, float]:
    """The gaps with hostile programs, and the ratio to those of the quiet window of the same round."""
    ids = await engine.tokenizer.encode("Once upon a time", control=False)
    await gaps(engine, ids)
    windows: dict[str, list[list[float]]] = {name: [] for name in ("quiet", "quiet again", *pools)}
    names = list(windows)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            attacks = [attack_forever(pools[name], program) for program in HOSTILE] if name in pools else []
            async with in_background(attacks):
                await asyncio.sleep(0.5)
                windows[name].append(await gaps(engine, ids, chunks))
            await asyncio.sleep(0.3)
    print(f"gaps of {rounds} windows of {chunks} chunks, ms   median   p99   max   ratio of p99 to quiet, median")
    found: dict[str, float] = {}
    for name, of_rounds in windows.items():
        every = [gap for window in of_rounds for gap in window]
        pairs = zip(of_rounds, windows["quiet"], strict=True)
        ratio = median(p99(attacked) / p99(quiet) for attacked, quiet in pairs)
        found |= {f"{name} median": median(every), f"{name} p99": p99(every), f"{name} p99 ratio": ratio}
        print(f"  {name:36}{median(every):8.1f}{p99(every):8.1f}{max(every):8.1f}{ratio:8.2f}", flush=True)
    return found


async def benign(engine: Engine, pools: Pools) -> dict[str, float]:
    """Seconds that the benign program takes, alone and beside streams."""
    ids = await engine.tokenizer.encode("Once upon a time", control=False)
    found: dict[str, float] = {}
    for streams in (0, STREAMS):
        took: dict[str, list[float]] = {name: [] for name in pools}
        async with in_background([stream_forever(engine, ids) for _ in range(streams)]):
            await asyncio.sleep(2)
            for name in [*pools] * BENIGN_RUNS:
                async with pools[name].open(seed=0) as sandbox:
                    outcome = await sandbox.run(BENIGN)
                took[name].append(outcome.seconds)
        for name, seconds in took.items():
            found[f"{name} benign beside {streams}"] = median(seconds)
            print(f"  {name}: 0.3 s of work take {median(seconds):.2f} s beside {streams} streams", flush=True)
    return found


async def bench(options: argparse.Namespace) -> dict[str, float]:
    """All figures by name. Raises ServiceError."""
    values = options.gaps or [Limits().prompt_seconds]
    pools = {f"8 hostile, {value:g} s": _pool(value) for value in values}
    weights = fetch(CHECKPOINTS[CHECKPOINT])
    found: dict[str, float] = {}
    try:
        for pool in pools.values():
            await pool.require()
        await asyncio.sleep(2)
        if options.gaps is None:
            found |= await costs(next(iter(pools.values())))
            found |= await latencies(next(iter(pools.values())))
        engine = open_engine(weights, CONTEXT, Settings(slots=STREAMS, threads=options.threads))
        await engine.start()
        try:
            found |= await stalls(engine, pools, options.rounds, options.chunks)
            found |= await benign(engine, pools)
        finally:
            await engine.close()
    finally:
        for pool in pools.values():
            await pool.close()
    return found


def _pool(prompt_seconds: float) -> Sandboxes:
    return Sandboxes(limits=Limits(wall_seconds=5.0, prompt_seconds=prompt_seconds))


def _bench(options: argparse.Namespace) -> None:
    found = asyncio.run(bench(options))
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench sandbox", __doc__)
    parser.add_argument("--gaps", nargs="*", type=float, help="values of prompt_seconds; leaves the first table out")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument("--chunks", type=int, default=CHUNKS, help=f"of a window (default: {CHUNKS})")
    parser.add_argument("--threads", type=int, help="of the engine (default: all cores)")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.chunks < 4:
        parser.error(f"--rounds {options.rounds} --chunks {options.chunks}: use 1 or more rounds, of 4 or more chunks")
    return status_of(lambda: _bench(options))
