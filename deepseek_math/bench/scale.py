"""Estimates requests a second, for each GPU and each dollar, from sizes alone. Writes the tables of docs/cluster.md.

A decode step reads all weights once and the KV cache of every running request. A prompt is read at the speed of the
arithmetic. Both are lower bounds of the time, so no engine can be faster at the shares that are assumed here.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from transformers import LlamaConfig

from deepseek_math.bench.bandwidth import BYTES_PER_SECOND
from deepseek_math.bench.gpu import SHAPE
from deepseek_math.engines.hf.paged_cache import GPU_BATCH_TOKENS, GPU_PAGE, GPU_SHARE, bytes_per_token, share_out
from deepseek_math.paths import ROOT

PAGE = ROOT / "docs/cluster.md"

PARAMETERS = 6.91e9  # config.json of deepseek-math-7b: 30 layers of 4096, 102400 words
WEIGHTS = 13.82e9  # bytes, bf16
# bytes of a token in the KV cache: keys and values, 30 layers, 32 heads of 128, no grouped queries, bf16; and, while it
# is read, beside the cache
KV_TOKEN, KV_TOKEN_EXTRA = bytes_per_token(LlamaConfig(**SHAPE), 2, GPU_BATCH_TOKENS)
CUDA = 0.5e9  # bytes that CUDA takes for itself: an assumption

READ = 0.7  # share of the memory bandwidth that decoding reaches: by gpt-fast's README, Llama-2-7B, A100, one stream
MULTIPLIED = 0.5  # share of the peak arithmetic that reading a prompt reaches: an assumption
PROMPT = 85  # tokens, the mean of GSM8K's 1,319 test questions in mode cot, DeepSeekMath's tokenizer
RESERVED = 1024  # max_new_tokens, the default: the gate reserves room for all of them
ASKED, CONTEXT = PROMPT + RESERVED, 4096
COMPLETION = 200  # tokens, an assumption: the data set's own worked solutions have 122 in the mean


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU by its datasheet; dollars by replicate.com/pricing, November 2026."""

    name: str
    memory: float  # bytes
    bandwidth: float  # bytes a second
    peak: float  # floating point operations a second, bf16, without sparsity
    dollars: float  # an hour


CARDS = (
    Card("L40S", 48e9, BYTES_PER_SECOND["L40S"], 362e12, 3.51),
    Card("A100 80 GB", 80e9, BYTES_PER_SECOND["A100-SXM4-80GB"], 312e12, 5.04),
    Card("H100", 80e9, BYTES_PER_SECOND["H100"], 989e12, 5.49),
)


def room(card: Card) -> int:
    """Requests at once, each with its prompt and all of its reserved tokens, as the engine divides its pages."""
    usable = GPU_SHARE * (card.memory - WEIGHTS - CUDA)
    slots, pages = share_out(int(usable // ((KV_TOKEN + KV_TOKEN_EXTRA) * GPU_PAGE)), CONTEXT, None, gpu=True)
    return min(slots, pages // ceil(ASKED / GPU_PAGE))


def step(card: Card, streams: int) -> float:
    """Seconds of one decode step: one token of each of `streams` requests that are half way through."""
    bytes_read = WEIGHTS + streams * KV_TOKEN * (PROMPT + COMPLETION / 2)
    operations = streams * 2 * PARAMETERS
    return max(bytes_read / (card.bandwidth * READ), operations / (card.peak * MULTIPLIED))


def prefill(card: Card) -> float:
    """Seconds in which the card reads one prompt. Nothing else is decoded meanwhile."""
    return PROMPT * 2 * PARAMETERS / (card.peak * MULTIPLIED)


def rate(card: Card, streams: int) -> float:
    """Requests a second with `streams` at work all the time."""
    return streams / seconds(card, streams)


def seconds(card: Card, streams: int) -> float:
    """Seconds of one request among `streams`: its steps, and the prompts that are read meanwhile."""
    return COMPLETION * step(card, streams) + streams * prefill(card)


def tables() -> dict[str, str]:
    """The page's tables by name."""
    return {"cards": _cards_table(), "rates": _rates_table()}


def _cards_table() -> str:
    rows = ["| GPU | memory | bandwidth | bf16, dense | an hour | requests that fit |", "|---|---|---|---|---|---|"]
    for card in CARDS:
        rows.append(
            f"| {card.name} | {card.memory / 1e9:.0f} GB | {card.bandwidth / 1e9:,.0f} GB/s "
            f"| {card.peak / 1e12:.0f} TFLOPS | ${card.dollars:.2f} | {room(card)} |"
        )
    return "\n".join(rows)


def _rates_table() -> str:
    head = "| GPU | streams | tokens/s of a stream | seconds a request | tokens/s | requests/s | dollars for 1,000 |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    for card in CARDS:
        for streams in sorted({1, 16, room(card)}):
            each = COMPLETION / seconds(card, streams)
            per_second = rate(card, streams)
            rows.append(
                f"| {card.name} | {streams} | {each:.0f} | {seconds(card, streams):.1f} | {each * streams:,.0f} "
                f"| {per_second:.2f} | {card.dollars / 3600 / per_second * 1000:.2f} |"
            )
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with its tables as they are now."""
    for name, table in tables().items():
        page = re.sub(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", rf"\g<1>{table}\g<2>", page, flags=re.DOTALL)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    argparse.ArgumentParser(prog="dsm bench scale", description=__doc__).parse_args(arguments)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE}: the tables are written")
    return 0
