"""What the sandbox costs: `python -m deepseek_math.bench.sandbox` prints three tables, the last line is JSON.

1. A one-line program, from asking for a sandbox to its output: with the warm pool, forked when asked for, and as a
   fresh interpreter with its imports.
2. The gaps between the chunks of a stream of SmolLM2 135M, with 8 hostile programs at work and without, in
   windows that take turns: what counts is the median of the windows' ratios, for other work on the machine comes and
   goes. A second quiet window in each turn shows how far chance alone moves that ratio. `--gaps 0.25 inf 0` measures
   that alone, once for each value of `Limits.prompt_seconds`; `--rounds 20 --chunks 400` does so for longer, and
   `--threads 1` gives the engine one core, so that programs have the others.
3. A program of 0.3 s of processor time, alone and beside 16 streams, for the same values.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from contextlib import aclosing
from itertools import pairwise
from statistics import median, quantiles

from deepseek_math.checkpoints import CHECKPOINTS, fetch
from deepseek_math.completion import Completion, complete
from deepseek_math.engines.protocol import Engine
from deepseek_math.engines.registry import open_engine
from deepseek_math.programs.sandbox.limits import Limits
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings

LINE = "print(12 + 30)"
FRESH = f"import sympy, numpy, scipy.optimize, scipy.integrate, scipy.stats; {LINE}"
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
RUNS, ROUNDS, CHUNKS, STREAMS = 30, 8, 150, 16


async def latency(sandboxes: Sandboxes, pause: float) -> float:
    """Milliseconds at the median; after a pause the pool is full again."""
    took = []
    for _ in range(RUNS):
        await asyncio.sleep(pause)
        started = time.perf_counter()
        async with sandboxes.open(seed=0) as sandbox:
            outcome = await sandbox.run(LINE)
        took.append(1000 * (time.perf_counter() - started))
        assert outcome.printed == "42\n", outcome
    return median(took)


async def forked(sandboxes: Sandboxes) -> float:
    """The same where nothing waits: each is forked and confined when it is asked for."""
    took = []
    launcher = sandboxes._launcher
    assert launcher is not None
    for _ in range(RUNS):
        started = time.perf_counter()
        process = await launcher.make()
        await process.run(LINE, 0)
        took.append(1000 * (time.perf_counter() - started))
        process.kill()
    return median(took)


def fresh() -> float:
    took = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", FRESH], check=True, capture_output=True)
        took.append(1000 * (time.perf_counter() - started))
    return median(took)


async def gaps(engine: Engine, ids: list[int], chunks: int = CHUNKS) -> list[float]:
    """Milliseconds between the pieces of one stream."""
    at = []
    async with aclosing(
        complete(engine, Prompt("raw", "", tuple(ids)), Sampling(max_new_tokens=chunks), Completion())
    ) as pieces:
        async for _ in pieces:
            at.append(time.perf_counter())
    return [1000 * (later - earlier) for earlier, later in pairwise(at)]


async def hostile(sandboxes: Sandboxes, program: str) -> None:
    while True:
        async with sandboxes.open(seed=0) as sandbox:
            await sandbox.run(program)


def p99(gaps: list[float]) -> float:
    return quantiles(gaps, n=100)[98]


async def stalls(engine: Engine, pools: dict[str, Sandboxes], rounds: int, chunks: int) -> dict[str, float]:
    """The ratios of gaps with hostile programs to those of the quiet window of the same round."""
    ids = await engine.tokenizer.encode("Once upon a time", control=False)
    await gaps(engine, ids)
    windows: dict[str, list[list[float]]] = {"quiet": [], "quiet again": [], **{name: [] for name in pools}}
    for number in range(rounds):
        names = list(windows)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            programs = HOSTILE if name in pools else []
            attackers = [asyncio.create_task(hostile(pools[name], program)) for program in programs]
            await asyncio.sleep(0.5)
            windows[name].append(await gaps(engine, ids, chunks))
            for attacker in attackers:
                attacker.cancel()
            await asyncio.gather(*attackers, return_exceptions=True)
            await asyncio.sleep(0.3)
    print(f"gaps of {rounds} windows of {chunks} chunks, ms   median   p99   max   ratio of p99 to quiet, median")
    found: dict[str, float] = {}
    for name, each in windows.items():
        every = [gap for window in each for gap in window]
        ratio = median(p99(attacked) / p99(quiet) for attacked, quiet in zip(each, windows["quiet"], strict=True))
        found |= {f"{name} median": median(every), f"{name} p99": p99(every), f"{name} p99 ratio": ratio}
        print(f"  {name:36}{median(every):8.1f}{p99(every):8.1f}{max(every):8.1f}{ratio:8.2f}", flush=True)
    return found


async def benign(engine: Engine, pools: dict[str, Sandboxes]) -> dict[str, float]:
    """Seconds that the benign program takes."""
    ids = await engine.tokenizer.encode("Once upon a time", control=False)

    async def stream() -> None:
        while True:
            await gaps(engine, ids)

    found: dict[str, float] = {}
    for beside in (0, STREAMS):
        streams = [asyncio.create_task(stream()) for _ in range(beside)]
        await asyncio.sleep(2)
        took: dict[str, list[float]] = {name: [] for name in pools}
        for name in [*pools] * 3:
            async with pools[name].open(seed=0) as sandbox:
                took[name].append((await sandbox.run(BENIGN)).seconds)
        for each in streams:
            each.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        for name, seconds in took.items():
            found[f"{name} benign beside {beside}"] = median(seconds)
            print(f"  {name}: 0.3 s of work take {median(seconds):.2f} s beside {beside} streams", flush=True)
    return found


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gaps", nargs="*", type=float, help="values of prompt_seconds; leaves the first table out")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--chunks", type=int, default=CHUNKS)
    parser.add_argument("--threads", type=int, help="of the engine; all cores by default")
    options = parser.parse_args()
    values = options.gaps
    names = {f"8 hostile, {value:g} s": value for value in values or [Limits().prompt_seconds]}
    pools = {name: Sandboxes(limits=Limits(wall_seconds=5.0, prompt_seconds=value)) for name, value in names.items()}
    for pool in pools.values():
        await pool.require()
    await asyncio.sleep(2)
    found: dict[str, float] = {}
    if values is None:
        pool = next(iter(pools.values()))
        found |= {"warm": await latency(pool, 0.3), "forked": await forked(pool), "fresh": fresh()}
        print("a one-line program, median of", RUNS)
        for name, milliseconds in found.items():
            print(f"  {name:8}{milliseconds:10.1f} ms")
    engine = open_engine(fetch(CHECKPOINTS["smollm2-135m"]), 512, Settings(slots=STREAMS, threads=options.threads))
    await engine.start()
    found |= await stalls(engine, pools, options.rounds, options.chunks)
    found |= await benign(engine, pools)
    for pool in pools.values():
        await pool.close()
    await engine.close()
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    asyncio.run(main())
