"""Compares this service with the original predictor and with llama.cpp's server, on this machine and the same weights.

It ends with a table, a picture and one line of JSON. CHECKPOINT in the environment names the weights (SmolLM2 135M when
unset). SLOTS, CONTEXT and THREADS hold for every contender. LLAMA_SERVER names a native llama-server to measure too.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from deepseek_math.bench import figures, result_table
from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.contenders import Contender, Running, Terms, contenders, running
from deepseek_math.bench.loads import LOADS, LONGER, Sample, context_needed, measure
from deepseek_math.bench.picture import draw
from deepseek_math.bench.streams import BenchError
from deepseek_math.checkpoints import fetch, find
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.engines.memory import free_bytes, gib
from deepseek_math.engines.weight_files import weight_bytes
from deepseek_math.settings import Settings
from deepseek_math.terminal import say

CONTEXT = 2048  # tokens, where neither CONTEXT nor the checkpoint's row gives them
SLOTS = 16
BYTES_PER_VALUE = 2  # of a KV cache
PICTURES = (".png", ".svg", ".pdf")

Samples = dict[str, dict[str, list[Sample]]]  # by the contender's key and the load's name, one for each round


def bench(options: argparse.Namespace) -> None:
    """Measures and prints. Raises BenchError, ServerFailed, ServiceError, OSError or httpx.HTTPError."""
    import matplotlib  # noqa: F401  # that it is there for the picture, before hours of measuring

    began = time.monotonic()
    terms = read_terms(options.dtype)
    rows = _rows(options, terms)
    require_memory(rows, terms)
    say(f"{terms.checkpoint}: {terms.threads} threads, {terms.slots} slots of {terms.context} tokens for all")
    with ExitStack() as stack:
        started = []
        for row in rows:
            started.append(stack.enter_context(running(row, terms)))
            say(f"{row.name} is ready after {started[-1].start_seconds:.1f} s ({row.note})")
        samples, rounds = _measure_rounds(started, options, began + 60 * options.minutes)
        records = {one.contender.key: _record(one, samples[one.contender.key]) for one in started}
    seconds = time.monotonic() - began
    _report({row.name: records[row.key] for row in rows}, terms, options, rounds)
    print(json.dumps(_summary(records, rows, samples, terms, options, rounds, seconds)), flush=True)


def _record(one: Running, samples: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    return figures.Measured(one.contender.name, one.start_seconds, one.peak.bytes, samples).record()


def _rows(options: argparse.Namespace, terms: Terms) -> list[Contender]:
    """What is measured; the first is compared with the rest. Raises BenchError for what can't be measured."""
    if options.rounds < 1 or options.tokens < 1:
        raise BenchError(f"--rounds {options.rounds} --tokens {options.tokens}: use 1 or more of each.")
    picture = options.picture
    if picture.suffix not in PICTURES or not picture.parent.is_dir() or picture.is_dir():
        raise BenchError(
            f"--picture {picture} can't be written. Use a file ending in {', '.join(PICTURES)} in a folder that exists."
        )
    known = {row.key: row for row in contenders(terms)}
    unknown = [key for key in options.only or () if key not in known]
    if unknown:
        raise BenchError(
            f"--only {' '.join(unknown)} can't be measured here, only {', '.join(known)} can. llama and native need a "
            "GGUF file, and native needs LLAMA_SERVER."
        )
    needed = context_needed(options.tokens, options.rounds)
    if needed > terms.context:
        raise BenchError(
            f"--tokens {options.tokens} may need a context of {needed} tokens: a prompt and, while newcomers come, "
            f"{LONGER} times as many new tokens. The context is {terms.context}. Use fewer tokens, or set CONTEXT."
        )
    return [known[key] for key in dict.fromkeys(options.only or known)]


def _measure_rounds(started: Sequence[Running], options: argparse.Namespace, deadline: float) -> tuple[Samples, int]:
    """Every load on every contender, in turn and in another order each round. Raises BenchError."""
    loads = (*LOADS, None)
    samples: Samples = {one.contender.key: {figures.name_of(load): [] for load in loads} for one in started}
    rounds = 0
    while rounds < options.rounds:
        round_began = time.monotonic()
        first = rounds % len(started)
        for load in loads:
            for one in (*started[first:], *started[:first]):
                idle = [other for other in started if other is not one]
                sample = measure(one, load, rounds, options.tokens, idle)
                samples[one.contender.key][figures.name_of(load)].append(sample)
            _require_same_prompts(samples, figures.name_of(load))
        took = time.monotonic() - round_began
        rounds += 1
        say(f"round {rounds}: {took:.0f} s")
        if time.monotonic() + took > deadline:
            break
    return samples, rounds


def _require_same_prompts(samples: Samples, load: str) -> None:
    """All have read prompts of the same length. Raises BenchError: figures for other tokens can't be compared."""
    counts = [by_load[load][-1].prompt_tokens for by_load in samples.values()]
    for of_one_prompt in zip(*counts, strict=False):
        if len(set(of_one_prompt) - {0}) > 1:  # 0: the reply did not end
            raise BenchError(
                f"The contenders read one prompt as {of_one_prompt} tokens, so their tokenizers differ. "
                "Leave one out with --only."
            )


def _report(records: Mapping[str, Mapping[str, Any]], terms: Terms, options: argparse.Namespace, rounds: int) -> None:
    """The table and the picture; `records` are by the contender's name."""
    title = (
        f"{terms.checkpoint}, {options.tokens} new tokens, {terms.threads} threads on {os.cpu_count()} cores, "
        f"rounds: {rounds}"
    )
    print(f"\n{title}; medians over the rounds\n\n{result_table.table(records)}")
    print(f"\n{result_table.comparison(figures.ratios(records))}")
    try:
        draw(records, title, options.picture)
        print(f"the picture: {options.picture}")
    except OSError as error:  # a full disk must not cost the figures
        say(f"bench: the picture could not be written: {error}")


def _summary(
    records: Mapping[str, Mapping[str, Any]],
    rows: Sequence[Contender],
    samples: Samples,
    terms: Terms,
    options: argparse.Namespace,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """The line of JSON; `records` are by the contender's key."""
    every = [sample for by_load in samples.values() for of_load in by_load.values() for sample in of_load]
    return {
        "bench": 2,
        "checkpoint": terms.checkpoint,
        "weights": terms.weights.name,
        "threads": terms.threads,
        "slots": terms.slots,
        "context": terms.context,
        "original_dtype": terms.dtype,
        "tokens": options.tokens,
        "rounds": rounds,
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "idle_share": round(max(sample.idle_share for sample in every), 4),
        "client_share": round(max(sample.client_share for sample in every), 4),
        "contenders": records,
        "ratios": figures.ratios({row.name: records[row.key] for row in rows}),
    }


def require_memory(rows: Sequence[Contender], terms: Terms) -> None:
    """Raises BenchError where the contenders don't fit the memory at once: each has weights and a KV cache of its own.

    It is the least that they need. The original predictor unpacks a GGUF's weights, and has a small cache.
    """
    weights, cache = weight_bytes(terms.weights), 0
    if terms.weights.suffix == ".gguf":
        cache = terms.slots * terms.context * read_header(terms.weights).kv_values_per_token * BYTES_PER_VALUE
    need = sum(weights + (0 if row.one_at_a_time else cache) for row in rows)
    free = free_bytes()
    if need > free:
        names = ", ".join(row.key for row in rows)
        fewer = " Or name fewer with --only: dsm bench clients starts one server after the other."
        raise BenchError(
            f"{names}: at once they need {gib(need)} or more ({gib(weights)} of weights each, {gib(cache)} of KV cache "
            f"for {terms.slots} slots of {terms.context} tokens), and {gib(free)} is free. Set SLOTS or CONTEXT lower."
            + (fewer if len(rows) > 1 else "")
        )


def read_terms(dtype: str = "bfloat16") -> Terms:
    """The weights, downloaded before anything is timed, and the service's own settings."""
    settings = Settings.read({**os.environ, "CHECKPOINT": os.environ.get("CHECKPOINT") or "smollm2-135m"})
    checkpoint = find(settings.checkpoint)
    weights = fetch(checkpoint, say)
    context = settings.context or checkpoint.context or CONTEXT
    if weights.suffix == ".gguf":
        context = min(context, read_header(weights).context)
    threads = settings.threads or len(psutil.Process().cpu_affinity() or [0])
    name = checkpoint.name if checkpoint.in_table else settings.checkpoint
    return Terms(name, weights, threads, settings.slots or SLOTS, context, dtype)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("bench", __doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5.5, help="a round is only begun if it fits into this time (default: 5.5)")
    add("--rounds", type=int, default=7, help="the most rounds (default: 7)")
    add("--tokens", type=int, default=64, help="new tokens of a request (default: 64)")
    add(
        "--only",
        nargs="+",
        metavar="NAME",
        help="of service, original, llama, native; the first one is compared with the others",
    )
    add(
        "--dtype",
        choices=["bfloat16", "float32", "float16"],
        default="bfloat16",
        help="of the original predictor (default: bfloat16)",
    )
    add("--picture", type=Path, default=Path("bench.png"), help="the file of the picture (default: bench.png)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    return status_of(lambda: bench(options))
