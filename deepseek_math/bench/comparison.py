"""`python -m deepseek_math.bench`: this service beside the seeds' way and llama.cpp's server.

It ends with a table, a picture and one line of JSON. CHECKPOINT names the weights (SmolLM2 135M when unset); SLOTS,
CONTEXT and THREADS hold for every contender; LLAMA_SERVER names a native llama-server to measure too.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil

from deepseek_math.bench import figures as summary
from deepseek_math.bench.contenders import Contender, Running, Terms, contenders, running
from deepseek_math.bench.loads import LOADS, LONGER, Sample, context_needed, measure
from deepseek_math.bench.picture import draw
from deepseek_math.bench.streams import BenchError
from deepseek_math.checkpoints import fetch, find
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.errors import ServiceError
from deepseek_math.local.server import ServerFailed
from deepseek_math.settings import Settings

FAILED, STOPPED = 1, 130
CONTEXT = 2048  # tokens, where neither CONTEXT nor the checkpoint's row says otherwise
SLOTS = 16
PICTURES = (".png", ".svg", ".pdf")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deepseek_math.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=5.5, help="rounds go on while another one fits into this (default: 5.5)")
    add("--rounds", type=int, default=7, help="the most rounds (default: 7)")
    add("--tokens", type=int, default=64, help="new tokens of a request (default: 64)")
    add(
        "--only",
        nargs="+",
        metavar="KEY",
        help="of service, seeds, llama, native; the first named is held against the rest",
    )
    add("--dtype", choices=["bfloat16", "float32", "float16"], default="bfloat16", help="of the seeds' way")
    add("--picture", type=Path, default=Path("bench.png"), help="default: bench.png")
    return parser.parse_args()


def bench(options: argparse.Namespace) -> None:
    began = time.monotonic()
    terms = _terms(options.dtype)
    rows = _rows(options, terms)
    _say(f"{terms.checkpoint}: {terms.threads} threads, {terms.slots} slots of {terms.context} tokens for all")
    with ExitStack() as stack:
        started = []
        for row in rows:
            started.append(stack.enter_context(running(row, terms)))
            _say(f"{row.name} is ready after {started[-1].start_seconds:.1f} s ({row.note})")
        samples, rounds = _rounds(started, options, began + 60 * options.minutes)
        memory = {one.contender.key: one.peak.bytes for one in started}
    records = {
        one.contender.name: summary.Measured(
            one.contender.name, one.start_seconds, memory[one.contender.key], samples[one.contender.key]
        ).record()
        for one in started
    }
    _finish(records, samples, rows, terms, options, rounds, time.monotonic() - began)


def _rows(options: argparse.Namespace, terms: Terms) -> list[Contender]:
    """Who is measured, the first of them against the rest. Raises BenchError for what can't be measured."""
    if options.rounds < 1 or options.tokens < 1:
        raise BenchError(f"--rounds {options.rounds} --tokens {options.tokens} measures nothing: each is 1 at least.")
    if options.picture.suffix not in PICTURES or not options.picture.parent.is_dir() or options.picture.is_dir():
        raise BenchError(f"--picture {options.picture} can't be drawn: name a {', '.join(PICTURES)} in a folder.")
    known = {row.key: row for row in contenders(terms)}
    if unknown := [key for key in options.only or () if key not in known]:
        raise BenchError(
            f"--only {' '.join(unknown)} can't be measured here, only {', '.join(known)} can: llama and native "
            "need a GGUF file, native a LLAMA_SERVER too."
        )
    if (needed := context_needed(options.tokens, options.rounds)) > terms.context:
        raise BenchError(
            f"--tokens {options.tokens} may take {needed} tokens of context (newcomers come beside requests of "
            f"{LONGER} times as many, after a prompt), and there are {terms.context}. Take fewer, or set CONTEXT."
        )
    return [known[key] for key in dict.fromkeys(options.only or known)]


def _rounds(
    started: Sequence[Running], options: argparse.Namespace, deadline: float
) -> tuple[dict[str, dict[str, list[Sample]]], int]:
    """Every load on every contender, in turn and in another order each round. Raises BenchError."""
    loads = (*LOADS, None)
    samples = {one.contender.key: {summary.name_of(load): list[Sample]() for load in loads} for one in started}
    for number in range(options.rounds):
        round_began = time.monotonic()
        order = [*started[number % len(started) :], *started[: number % len(started)]]
        for load in loads:
            for one in order:
                idle = [other for other in started if other is not one]
                sample = measure(one, load, number, options.tokens, idle)
                samples[one.contender.key][summary.name_of(load)].append(sample)
            _require_same(samples, summary.name_of(load))
        took = time.monotonic() - round_began
        _say(f"round {number + 1}: {took:.0f} s")
        if time.monotonic() + took > deadline:
            break
    return samples, number + 1


def _require_same(samples: dict[str, dict[str, list[Sample]]], load: str) -> None:
    """All have read prompts of the same length. Raises BenchError: figures for other tokens mean nothing."""
    counts = [by_load[load][-1].prompt_tokens for by_load in samples.values()]
    for reading in zip(*counts, strict=False):
        if len(set(reading) - {0}) > 1:
            raise BenchError(
                f"The contenders read one prompt as {reading} tokens: they do not tokenise alike. "
                "Leave one out with --only."
            )


def _finish(
    records: dict[str, dict[str, object]],
    samples: dict[str, dict[str, list[Sample]]],
    rows: Sequence[Contender],
    terms: Terms,
    options: argparse.Namespace,
    rounds: int,
    seconds: float,
) -> None:
    every = [sample for by_load in samples.values() for each in by_load.values() for sample in each]
    found = summary.ratios(records)
    cores = os.cpu_count()
    title = (
        f"{terms.checkpoint}, {options.tokens} new tokens, {terms.threads} threads on {cores} cores, rounds: {rounds}"
    )
    print(f"\n{title}; medians over the rounds\n\n{summary.table(records)}")
    print(f"\n{summary.comparison(found)}")
    try:
        draw(records, title, options.picture)
        print(f"the picture: {options.picture}")
    except OSError as error:  # a full disk costs the picture, not the figures
        _say(f"bench: no picture: {error}")
    record = {
        "bench": 1,
        "checkpoint": terms.checkpoint,
        "weights": terms.weights.name,
        "threads": terms.threads,
        "slots": terms.slots,
        "context": terms.context,
        "seeds_dtype": terms.dtype,
        "tokens": options.tokens,
        "rounds": rounds,
        "seconds": round(seconds, 1),
        "cores": cores,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "idle_share": round(max(sample.others for sample in every), 4),
        "client_share": round(max(sample.client for sample in every), 4),
        "contenders": {row.key: records[row.name] for row in rows},
        "ratios": found,
    }
    print(json.dumps(record), flush=True)


def _terms(dtype: str) -> Terms:
    """The weights, downloaded before anything is timed, and what a service would make of the environment."""
    settings = Settings.read({**os.environ, "CHECKPOINT": os.environ.get("CHECKPOINT") or "smollm2-135m"})
    checkpoint = find(settings.checkpoint)
    weights = fetch(checkpoint, _say)
    context = settings.context or checkpoint.context or CONTEXT
    if weights.suffix == ".gguf":
        context = min(context, read_header(weights).context)
    threads = settings.threads or len(psutil.Process().cpu_affinity() or [0])
    name = checkpoint.name if checkpoint.in_table else settings.checkpoint
    return Terms(name, weights, threads, settings.slots or SLOTS, context, dtype)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    for ending in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal sends the second
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    try:
        bench(options)
    except (BenchError, ServerFailed, ServiceError, OSError, httpx.HTTPError) as error:
        _say(f"bench: {error}")
        return FAILED
    except KeyboardInterrupt:
        _say("\nbench: stopped, and its servers with it")
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
