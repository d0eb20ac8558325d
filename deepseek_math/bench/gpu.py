"""Measures the transformers engine with DeepSeekMath 7B's shape on this machine's GPU, with 1, 16 and 64 streams.

The weights are random and made on the device, so nothing is downloaded. For each number of streams it prints the tokens
a second, their share of the most that the memory's bandwidth allows (a decode step reads every weight once), and the
time to the first token. The last line is JSON. `--toy` does the same with a tiny shape on any machine, as a test.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psutil
import tokenizers
import torch
import transformers

from deepseek_math.bench.bandwidth import bandwidth
from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.bench.figures import percentile
from deepseek_math.bench.streams import BenchError
from deepseek_math.engines.hf.engine import TransformersEngine
from deepseek_math.engines.hf.model import attention
from deepseek_math.sampling import Sampling

# deepseek-ai/deepseek-math-7b-rl's config.json: 6,910,365,696 parameters
SHAPE: Mapping[str, int] = {
    "vocab_size": 102400,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 30,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
TOY: Mapping[str, int] = {
    "vocab_size": 1024,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
}
STREAMS = (1, 16, 64)
PROMPT_TOKENS = 96  # a question of GSM8K in mode cot has 85 in the mean
MOST_TOKENS = SHAPE["max_position_embeddings"] - PROMPT_TOKENS


class RandomEngine(TransformersEngine):
    """The service's engine, whose weights come from the device's random generator instead of from files."""

    weight_bytes: int
    vocabulary: int

    def _weights(self) -> Any:
        config = transformers.AutoConfig.from_pretrained(self._path, local_files_only=True, trust_remote_code=False)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        torch.manual_seed(0)
        with torch.device(device):
            model: Any = transformers.AutoModelForCausalLM.from_config(
                config, trust_remote_code=False, dtype=dtype, attn_implementation=attention(device, dtype)
            )
        self.weight_bytes = sum(weight.nbytes for weight in model.parameters())
        self.vocabulary = config.vocab_size
        return model.eval()


@dataclass(frozen=True, slots=True)
class Sample:
    """Some streams at once, in one round."""

    tokens_per_second: float
    firsts: list[float]  # seconds to the first token, by stream
    gaps: list[float]  # seconds between two tokens


@dataclass(frozen=True, slots=True)
class Result:
    """One number of streams; medians over the rounds. Seconds, tokens a second."""

    streams: int
    tokens_per_second: float
    floor_share: float | None  # of the tokens a second that the memory's bandwidth allows this many streams
    first_p50: float
    first_p95: float
    gap_p50: float


def write_shape(folder: Path, shape: Mapping[str, int]) -> None:
    """A checkpoint's folder without weights: the shape, and a tokenizer with a word for each id."""
    words = {f"w{number}": number for number in range(shape["vocab_size"])}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=model, eos_token="w1").save_pretrained(folder)
    transformers.LlamaConfig(
        **shape, bos_token_id=None, eos_token_id=1, architectures=["LlamaForCausalLM"]
    ).save_pretrained(folder)


async def load(engine: RandomEngine, streams: int, seed: str, tokens: int) -> Sample:
    """`streams` completions at once, of random prompts."""
    random = Random(seed)
    prompts = [[random.randrange(2, engine.vocabulary) for _ in range(PROMPT_TOKENS)] for _ in range(streams)]
    began = time.perf_counter()
    done = await asyncio.gather(*(_stream(engine, prompt, tokens) for prompt in prompts))
    seconds = time.perf_counter() - began
    return Sample(
        tokens_per_second=sum(count for count, _ in done) / seconds,
        firsts=[times[1] - times[0] for _, times in done if len(times) > 1],
        gaps=[later - earlier for _, times in done for earlier, later in pairwise(times[1:])],
    )


async def _stream(engine: RandomEngine, prompt: Sequence[int], tokens: int) -> tuple[int, list[float]]:
    """The tokens of one completion, when it was asked for, and when tokens came."""
    times, count = [time.perf_counter()], 0
    async with (
        engine.gate.enter(len(prompt) + tokens, object()),
        aclosing(engine.generate(prompt, Sampling(max_new_tokens=tokens))) as deltas,
    ):
        async for delta in deltas:
            if delta.tokens > count:
                count = delta.tokens
                times.append(time.perf_counter())
    return count, times


async def measure(engine: RandomEngine, tokens: int, rounds: int, floor: float | None) -> list[Result]:
    """`floor`: seconds in which the device reads all weights. The numbers of streams take turns."""
    for streams in STREAMS:  # so that what is compiled or recorded at first use is not measured
        await load(engine, streams, f"warm {streams}", min(4, tokens))
    samples: dict[int, list[Sample]] = {streams: [] for streams in STREAMS}
    for number in range(rounds):
        for streams in STREAMS:
            samples[streams].append(await load(engine, streams, f"{number} {streams}", tokens))
    return [_result(streams, of_streams, floor) for streams, of_streams in samples.items()]


def _result(streams: int, samples: Sequence[Sample], floor: float | None) -> Result:
    speed = median(sample.tokens_per_second for sample in samples)
    return Result(
        streams=streams,
        tokens_per_second=speed,
        floor_share=speed * floor / streams if floor else None,
        first_p50=median(percentile(sample.firsts, 0.5) or 0.0 for sample in samples),
        first_p95=median(percentile(sample.firsts, 0.95) or 0.0 for sample in samples),
        gap_p50=median(percentile(sample.gaps, 0.5) or 0.0 for sample in samples),
    )


async def bench(options: argparse.Namespace) -> dict[str, Any]:
    """The record that the last line prints. Raises ServiceError."""
    on_gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if on_gpu else "CPU"
    speed = bandwidth(device)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        write_shape(Path(folder), TOY if options.toy else SHAPE)
        engine = RandomEngine(Path(folder), context=PROMPT_TOKENS + options.tokens, slots=STREAMS[-1])
        began = time.perf_counter()
        await engine.start()
        start_seconds = time.perf_counter() - began
        floor = engine.weight_bytes / speed if speed else None
        try:
            print(f"{device}: {engine.weight_bytes / 1e9:.2f} GB of weights, {engine.cache}; {engine.kernels}")
            results = await measure(engine, options.tokens, options.rounds, floor)
        finally:
            await engine.close()
    peak = torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    return {
        "bench_gpu": 1,
        "device": device,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "toy": options.toy,
        "kernels": engine.kernels,
        "weights_gb": round(engine.weight_bytes / 1e9, 3),
        "bandwidth_tb": speed / 1e12 if speed else None,
        "floor_tokens_per_second": round(1 / floor, 1) if floor else None,
        "memory_gib": round(peak / 2**30, 2),
        "start_seconds": round(start_seconds, 1),
        "tokens": options.tokens,
        "rounds": options.rounds,
        "streams": [_rounded(asdict(result)) for result in results],
    }


def _rounded(result: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 4) for name, value in result.items()}


def table(record: Mapping[str, Any]) -> str:
    lines = [
        f"{'streams':>8}{'tokens/s':>12}{'of the floor':>14}{'times one':>12}{'first p50, s':>14}{'first p95, s':>14}"
    ]
    one = record["streams"][0]["tokens_per_second"]
    for row in record["streams"]:
        share = "unknown" if row["floor_share"] is None else f"{100 * row['floor_share']:.0f} %"
        lines.append(
            f"{row['streams']:>8}{row['tokens_per_second']:>12.1f}{share:>14}{row['tokens_per_second'] / one:>12.1f}"
            f"{row['first_p50']:>14.3f}{row['first_p95']:>14.3f}"
        )
    if record["bandwidth_tb"] is None:
        lines.append(f"The bandwidth of {record['device']} is unknown: add it to deepseek_math/bench/bandwidth.py")
    lines.append(f"memory {record['memory_gib']} GiB, ready after {record['start_seconds']} s")
    return "\n".join(lines)


def _bench(options: argparse.Namespace) -> None:
    if not torch.cuda.is_available() and not options.toy:
        raise BenchError("this needs a GPU, and this machine has none. --toy tries the bench itself.")
    record = asyncio.run(bench(options))
    print(table(record))
    print(json.dumps(record), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench gpu", __doc__)
    parser.add_argument("--tokens", type=int, default=256, help="new tokens of a request (default: 256)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--toy", action="store_true", help="a tiny shape, also without a GPU")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or not 1 <= options.tokens <= MOST_TOKENS:
        parser.error(
            f"--rounds {options.rounds} --tokens {options.tokens}: use 1 or more, and up to {MOST_TOKENS} tokens"
        )
    return status_of(lambda: _bench(options))
