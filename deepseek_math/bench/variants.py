"""Settings of llama.cpp against those that the service uses: `python -m deepseek_math.bench.variants`.

Each variant is the service's own engine with one thing changed, on the weights of CHECKPOINT (SmolLM2 135M). They take
turns, a fresh engine each time, and what counts is the median over the rounds of a figure's ratio to that of the
settings in use in the same round. Prints a table, and a line of JSON last. docs/performance.md has what was found.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import xllamacpp
from tqdm import tqdm

from deepseek_math.bench.workload import prompt
from deepseek_math.checkpoints import fetch, find
from deepseek_math.completion import Completion, complete
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.protocol import Engine
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling

STREAMS, TOKENS, CONTEXT, ROUNDS = 16, 64, 1024, 5
MOST_TOKENS = 400  # new ones: a second turn, which repeats them after the prompt, has to fit into CONTEXT
TURNS = 3  # conversations whose second turn is timed
AGAIN = "\nAnd if one more came?\n"
IN_USE = "in use"


@dataclass(frozen=True, slots=True)
class Variant:
    params: Callable[[xllamacpp.CommonParams], object] = lambda params: None
    body: Mapping[str, Any] = field(default_factory=dict)  # changes in every request


def _set(**values: Any) -> Variant:
    def change(params: xllamacpp.CommonParams) -> None:
        for name, value in values.items():
            setattr(params, name, value)

    return Variant(change)


def _steps(tokens: int) -> Variant:
    return _set(n_batch=tokens, n_ubatch=tokens)


def _threads(count: int) -> Variant:
    def change(params: xllamacpp.CommonParams) -> None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = count

    return Variant(change)


def _poll(level: int) -> Variant:
    def change(params: xllamacpp.CommonParams) -> None:
        params.cpuparams.poll = params.cpuparams_batch.poll = level

    return Variant(change)


def _cache(key: str, value: str) -> Variant:
    types = xllamacpp.ggml_type
    return _set(cache_type_k=getattr(types, f"GGML_TYPE_{key}"), cache_type_v=getattr(types, f"GGML_TYPE_{value}"))


def _guess(kind: str) -> Variant:
    def change(params: xllamacpp.CommonParams) -> None:
        params.speculative.types = [getattr(xllamacpp.common_speculative_type, f"COMMON_SPECULATIVE_TYPE_{kind}")]

    return Variant(change)


FLASH = xllamacpp.llama_flash_attn_type
VARIANTS: Mapping[str, Variant] = {
    IN_USE: Variant(),
    "in use, again": Variant(),  # how far chance alone moves a ratio
    "no KV reuse across turns": Variant(body={"cache_prompt": False}),
    "unified KV cache": _set(kv_unified=True),
    "no flash attention": _set(flash_attn_type=FLASH.LLAMA_FLASH_ATTN_TYPE_DISABLED),
    "greedy by temperature 0": Variant(body={"samplers": ["temperature", "top_k", "top_p"], "top_k": 0}),
    "prefill in steps of 32": _steps(32),
    "prefill in steps of 64": _steps(64),
    "prefill in steps of 128": _steps(128),
    "prefill in steps of 512": _steps(512),
    "prefill in steps of 1024": _steps(1024),
    "1 thread": _threads(1),
    "4 threads": _threads(4),
    "threads sleep between steps": _poll(0),
    "threads stay awake between steps": _poll(100),
    "greedy tokens drawn in the graph": Variant(body={"backend_sampling": True}),
    "K and V in F16": _cache("F16", "F16"),
    "K and V in Q8_0": _cache("Q8_0", "Q8_0"),
    "K in Q8_0, V in Q4_0": _cache("Q8_0", "Q4_0"),
    "n-gram guesses (simple)": _guess("NGRAM_SIMPLE"),
    "n-gram guesses (map)": _guess("NGRAM_MAP_K"),
}


class Varied(LlamaCppEngine):
    """The service's engine with one thing changed."""

    def __init__(self, variant: Variant, path: Path) -> None:
        super().__init__(path, CONTEXT, STREAMS)
        self._variant = variant

    def _params(self, socket: str) -> xllamacpp.CommonParams:
        params = super()._params(socket)
        self._variant.params(params)
        return params

    def _body(self, slot: int, prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        return super()._body(slot, prompt, sampling) | dict(self._variant.body)


@dataclass(frozen=True, slots=True)
class Figures:
    one: float  # tokens a second of one stream
    many: float  # of STREAMS streams together
    turn: float  # seconds to the first text of a conversation's second turn
    texts: tuple[str, ...]  # greedy: of the streams alone, then together


async def measure(variant: Variant, path: Path, number: int, tokens: int) -> Figures:
    """One round. Raises what the engine raises: a variant may be refused."""
    engine: Any = Varied(variant, path)  # an Engine: its own tokenizer is what the protocol asks for, and more
    await engine.start()
    try:
        places = range(STREAMS + TURNS + 1)
        ids = [await engine.tokenizer.encode(prompt(number, place), control=False) for place in places]
        await _text(engine, ids[-1], tokens)  # what is slow once is not measured
        started = time.perf_counter()
        alone = [await _text(engine, each, tokens) for each in ids[:TURNS]]
        one = sum(count for _, count in alone) / (time.perf_counter() - started)
        turns = [await _second_turn(engine, number, place, text) for place, (text, _) in enumerate(alone)]
        started = time.perf_counter()
        together = await asyncio.gather(*(_text(engine, each, tokens) for each in ids[TURNS:-1]))  # none read before
        many = sum(count for _, count in together) / (time.perf_counter() - started)
        return Figures(one, many, median(turns), tuple(text for text, _ in (*alone, *together)))
    finally:
        await engine.close()


async def _text(engine: Engine, ids: list[int], tokens: int) -> tuple[str, int]:
    completion = Completion()
    sampling = Sampling(max_new_tokens=tokens, temperature=0.0)
    async with aclosing(complete(engine, Prompt("raw", "", tuple(ids)), sampling, completion)) as pieces:
        async for _ in pieces:
            pass
    return completion.text, completion.tokens


async def _second_turn(engine: Engine, number: int, place: int, text: str) -> float:
    ids = await engine.tokenizer.encode(prompt(number, place) + text + AGAIN, control=False)
    started = time.perf_counter()
    sampling = Sampling(max_new_tokens=2, temperature=0.0)
    async with aclosing(complete(engine, Prompt("raw", "", tuple(ids)), sampling, Completion())) as pieces:
        await anext(pieces, None)
        return time.perf_counter() - started


async def compare(names: Sequence[str], path: Path, rounds: int, tokens: int = TOKENS) -> dict[str, dict[str, float]]:
    """For each variant the median ratio of each figure to that in use, and how many greedy texts are the same."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with tqdm(total=rounds * len(names), desc="variants") as bar:
        for number in range(rounds):
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                found[name].append(await measure(VARIANTS[name], path, number, tokens))
                bar.update()
    base = found[IN_USE]
    result = {}
    for name, each in found.items():
        pairs = list(zip(each, base, strict=True))
        same = [mine == theirs for a, b in pairs for mine, theirs in zip(a.texts, b.texts, strict=True)]
        result[name] = {
            "one": median(a.one / b.one for a, b in pairs),
            "many": median(a.many / b.many for a, b in pairs),
            "turn": median(a.turn / b.turn for a, b in pairs),
            "same": sum(same) / len(same),
        }
    result[IN_USE] |= {
        "tokens a second, one": median(each.one for each in base),
        "tokens a second, many": median(each.many for each in base),
        "seconds of a turn": median(each.turn for each in base),
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"new tokens of a request (default: {TOKENS})")
    options = parser.parse_args()
    if options.rounds < 1 or not 1 <= options.tokens <= MOST_TOKENS:
        parser.error(f"--rounds {options.rounds} --tokens {options.tokens}: 1 or more, of tokens up to {MOST_TOKENS}")
    path = fetch(find(os.environ.get("CHECKPOINT") or "smollm2-135m"))
    names = list(dict.fromkeys((IN_USE, *options.only)))
    result = asyncio.run(compare(names, path, options.rounds, options.tokens))
    print(f"ratios to what is in use           1 stream   {STREAMS} streams   second turn's first text   same texts")
    for name, row in result.items():
        print(f"  {name:34}{row['one']:7.2f}{row['many']:12.2f}{row['turn']:16.2f}{100 * row['same']:22.0f} %")
    print(json.dumps({name: {key: round(value, 4) for key, value in row.items()} for name, row in result.items()}))


if __name__ == "__main__":
    main()
