"""What the sandbox costs: `python -m tests.bench_sandbox` prints two tables, the last line is JSON.

1. A one-line program, from asking for a sandbox to its output: with the warm pool, forked when asked for, and as a
   fresh interpreter with its imports.
2. The gaps between the chunks of a stream of the demo checkpoint, with 8 hostile programs at work and without, in turns
   within one run. Only the ratio means something on a shared machine.
"""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import aclosing
from itertools import pairwise
from statistics import median, quantiles

from replicate.checkpoints import CHECKPOINTS, fetch
from replicate.completion import Completion, complete
from replicate.engines import open_engine
from replicate.engines.protocol import Engine
from replicate.prompts import Prompt
from replicate.sampling import Sampling
from replicate.sandbox.limits import Limits
from replicate.sandbox.pool import Sandboxes
from replicate.settings import Settings

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
RUNS, PHASES, TOKENS = 30, 6, 150


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
    nursery = sandboxes._nursery
    assert nursery is not None
    for _ in range(RUNS):
        started = time.perf_counter()
        process = await nursery.make()
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


async def gaps(engine: Engine, ids: list[int]) -> list[float]:
    """Milliseconds between the pieces of one stream."""
    at = []
    async with aclosing(
        complete(engine, Prompt("raw", "", tuple(ids)), Sampling(max_new_tokens=TOKENS), Completion())
    ) as pieces:
        async for _ in pieces:
            at.append(time.perf_counter())
    return [1000 * (later - earlier) for earlier, later in pairwise(at)]


async def hostile(sandboxes: Sandboxes, program: str) -> None:
    while True:
        async with sandboxes.open(seed=0) as sandbox:
            await sandbox.run(program)


async def main() -> None:
    sandboxes = Sandboxes(limits=Limits(wall_seconds=5.0))
    await sandboxes.require()
    await asyncio.sleep(2)
    found = {"warm": await latency(sandboxes, 0.3), "forked": await forked(sandboxes), "fresh": fresh()}
    print("a one-line program, median of", RUNS)
    for name, milliseconds in found.items():
        print(f"  {name:8}{milliseconds:10.1f} ms")
    engine = open_engine(fetch(CHECKPOINTS["demo"]), 512, Settings(slots=2))
    await engine.start()
    ids = await engine.tokenizer.encode("Once upon a time", control=False)
    await gaps(engine, ids)
    quiet, attacked = [], []
    for _ in range(PHASES):
        quiet += await gaps(engine, ids)
        attackers = [asyncio.create_task(hostile(sandboxes, program)) for program in HOSTILE]
        await asyncio.sleep(1)
        attacked += await gaps(engine, ids)
        for attacker in attackers:
            attacker.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        await asyncio.sleep(1)
    print(f"gaps between {len(quiet)} chunks, ms       median      p99      max")
    for name, each in (("quiet", quiet), ("8 hostile programs", attacked)):
        p99 = quantiles(each, n=100)[98]
        found |= {f"{name} median": median(each), f"{name} p99": p99}
        print(f"  {name:28}{median(each):12.1f}{p99:9.1f}{max(each):9.1f}")
    found["p99 ratio"] = found["8 hostile programs p99"] / found["quiet p99"]
    print(f"  p99 ratio {found['p99 ratio']:.2f}")
    await sandboxes.close()
    await engine.close()
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    asyncio.run(main())
