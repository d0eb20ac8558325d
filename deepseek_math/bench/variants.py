"""Measures other settings of llama.cpp against those that the service uses.

Each variant is the service's own engine with one thing changed, on the weights of CHECKPOINT (SmolLM2 135M when unset).
They take turns, with a fresh engine each time. What counts is the median over the rounds of a figure's ratio to that of
the settings in use in the same round. Prints a table, and one line of JSON at the end.
docs/performance.md has what was found.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import xllamacpp
from tqdm import tqdm

from deepseek_math.bench.command import parser_of, status_of
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
SECOND_QUESTION = "\nAnd if one more came?\n"
IN_USE = "in use"


@dataclass(frozen=True, slots=True)
class Variant:
    params: Callable[[xllamacpp.CommonParams], None] = lambda params: None  # changes what the engine starts with
    body: Mapping[str, Any] = field(default_factory=dict)  # changes every request
    exact: bool | None = None  # as EXACT


def _set(values: Mapping[str, Any], params: xllamacpp.CommonParams) -> None:
    for name, value in values.items():
        setattr(params, name, value)


def _set_threads(count: int, params: xllamacpp.CommonParams) -> None:
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = count


def _set_polling(level: int, params: xllamacpp.CommonParams) -> None:
    params.cpuparams.poll = params.cpuparams_batch.poll = level


def _set_speculation(kind: str, params: xllamacpp.CommonParams) -> None:
    params.speculative.types = [getattr(xllamacpp.common_speculative_type, f"COMMON_SPECULATIVE_TYPE_{kind}")]


def _setting(**values: Any) -> Variant:
    return Variant(partial(_set, values))


def _prefill_step(tokens: int) -> Variant:
    return _setting(n_batch=tokens, n_ubatch=tokens)


def _cache(key: str, value: str) -> Variant:
    types = xllamacpp.ggml_type
    return _setting(cache_type_k=getattr(types, f"GGML_TYPE_{key}"), cache_type_v=getattr(types, f"GGML_TYPE_{value}"))


VARIANTS: Mapping[str, Variant] = {
    IN_USE: Variant(),
    "in use, again": Variant(),  # how far chance alone moves a ratio
    "EXACT=1": Variant(exact=True),
    "EXACT=0": Variant(exact=False),
    "no KV reuse across turns": Variant(body={"cache_prompt": False}),
    "unified KV cache": _setting(kv_unified=True),
    "no flash attention": _setting(flash_attn_type=xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED),
    "flash attention": _setting(flash_attn_type=xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED),
    "file mapped": _setting(load_mode=xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP),
    "greedy by temperature 0": Variant(body={"samplers": ["temperature", "top_k", "top_p"], "top_k": 0}),
    "prefill in steps of 32": _prefill_step(32),
    "prefill in steps of 64": _prefill_step(64),
    "prefill in steps of 128": _prefill_step(128),
    "prefill in steps of 512": _prefill_step(512),
    "prefill in steps of 1024": _prefill_step(1024),
    "1 thread": Variant(partial(_set_threads, 1)),
    "4 threads": Variant(partial(_set_threads, 4)),
    "threads sleep between steps": Variant(partial(_set_polling, 0)),
    "threads stay awake between steps": Variant(partial(_set_polling, 100)),
    "greedy tokens drawn in the graph": Variant(body={"backend_sampling": True}),
    "K and V in F16": _cache("F16", "F16"),
    "K in F16, V in BF16": _cache("F16", "BF16"),
    "K and V in Q8_0": _cache("Q8_0", "Q8_0"),
    "K in Q8_0, V in Q4_0": _cache("Q8_0", "Q4_0"),
    "n-gram guesses (simple)": Variant(partial(_set_speculation, "NGRAM_SIMPLE")),
    "n-gram guesses (map)": Variant(partial(_set_speculation, "NGRAM_MAP_K")),
}


class Varied(LlamaCppEngine):
    """The service's engine with one thing changed."""

    def __init__(self, variant: Variant, path: Path, streams: int = STREAMS, exact: bool | None = None) -> None:
        super().__init__(path, CONTEXT, streams, exact=exact if variant.exact is None else variant.exact)
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


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    tokens: int


async def measure(variant: Variant, path: Path, number: int, tokens: int, streams: int) -> Figures:
    """Round `number`. Raises what the engine raises: llama.cpp may refuse a variant."""
    engine: Any = Varied(variant, path, streams)  # an Engine: its own tokenizer is what the protocol asks for, and more
    await engine.start()
    try:
        prompts = [prompt(number, index) for index in range(streams + TURNS + 1)]
        ids = [await engine.tokenizer.encode(each, control=False) for each in prompts]
        await _text(engine, ids[-1], tokens)  # what is slow only once is not measured
        started = time.perf_counter()
        alone = [await _text(engine, each, tokens) for each in ids[:TURNS]]
        one = _speed(alone, started)
        turns = [await _second_turn(engine, prompts[index] + alone[index].text) for index in range(TURNS)]
        started = time.perf_counter()
        together = await asyncio.gather(*(_text(engine, each, tokens) for each in ids[TURNS:-1]))  # not read before
        many = _speed(together, started)
        return Figures(one, many, median(turns), tuple(each.text for each in (*alone, *together)))
    finally:
        await engine.close()


def _speed(texts: Sequence[Text], started: float) -> float:
    """Tokens a second since `started`."""
    return sum(text.tokens for text in texts) / (time.perf_counter() - started)


async def _text(engine: Engine, ids: list[int], tokens: int) -> Text:
    """The greedy completion."""
    completion = Completion()
    sampling = Sampling(max_new_tokens=tokens, temperature=0.0)
    async with aclosing(complete(engine, Prompt("raw", "", tuple(ids)), sampling, completion)) as pieces:
        async for _ in pieces:
            pass
    return Text(completion.text, completion.tokens)


async def _second_turn(engine: Engine, first_turn: str) -> float:
    """Seconds to the first text of an answer to SECOND_QUESTION after the first turn's prompt and answer."""
    ids = await engine.tokenizer.encode(first_turn + SECOND_QUESTION, control=False)
    sampling = Sampling(max_new_tokens=2, temperature=0.0)
    started = time.perf_counter()
    async with aclosing(complete(engine, Prompt("raw", "", tuple(ids)), sampling, Completion())) as pieces:
        await anext(pieces, None)
        return time.perf_counter() - started


async def compare(
    names: Sequence[str], path: Path, rounds: int, tokens: int = TOKENS, streams: int = STREAMS
) -> dict[str, dict[str, float]]:
    """For each variant the median ratio of each figure to that in use, and the share of greedy texts that are equal."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with tqdm(total=rounds * len(names), desc="variants") as bar:
        for number in range(rounds):
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                found[name].append(await measure(VARIANTS[name], path, number, tokens, streams))
                bar.update()
    base = found[IN_USE]
    result = {name: _ratios(each, base) for name, each in found.items()}
    result[IN_USE] |= {
        "tokens a second, one": median(each.one for each in base),
        "tokens a second, many": median(each.many for each in base),
        "seconds of a turn": median(each.turn for each in base),
    }
    return result


def _ratios(found: Sequence[Figures], base: Sequence[Figures]) -> dict[str, float]:
    pairs = list(zip(found, base, strict=True))
    same: list[bool] = []
    for ours, in_use in pairs:
        same += [text == expected for text, expected in zip(ours.texts, in_use.texts, strict=True)]
    return {
        "one": median(ours.one / in_use.one for ours, in_use in pairs),
        "many": median(ours.many / in_use.many for ours, in_use in pairs),
        "turn": median(ours.turn / in_use.turn for ours, in_use in pairs),
        "same": sum(same) / len(same),
    }


def _print(result: Mapping[str, Mapping[str, float]], streams: int) -> None:
    print(f"ratios to what is in use           1 stream   {streams:2} streams   second turn's first text   same texts")
    for name, row in result.items():
        print(f"  {name:34}{row['one']:7.2f}{row['many']:12.2f}{row['turn']:16.2f}{100 * row['same']:22.0f} %")
    print(json.dumps({name: {key: round(value, 4) for key, value in row.items()} for name, row in result.items()}))


def _bench(options: argparse.Namespace) -> None:
    names = list(dict.fromkeys((IN_USE, *options.only)))
    path = fetch(find(os.environ.get("CHECKPOINT") or "smollm2-135m"))
    result = asyncio.run(compare(names, path, options.rounds, options.tokens, options.streams))
    _print(result, options.streams)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench variants", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="NAME",
        help=f"of {', '.join(map(repr, VARIANTS))}",
    )
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"new tokens of a request (default: {TOKENS})")
    parser.add_argument("--streams", type=int, default=STREAMS, help=f"at once (default: {STREAMS})")
    options = parser.parse_args(arguments)
    if min(options.rounds, options.streams) < 1 or not 1 <= options.tokens <= MOST_TOKENS:
        parser.error(
            f"--rounds {options.rounds} --tokens {options.tokens}: use 1 or more, and up to {MOST_TOKENS} tokens"
        )
    return status_of(lambda: _bench(options))
