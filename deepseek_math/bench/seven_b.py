"""Makes a checkpoint of DeepSeekMath 7B's shape with random weights, and measures how it loads, without a network.

    dsm bench seven-b make FOLDER         safetensors in bfloat16, 13.8 GB, about 1 GB in memory at a time
    dsm bench seven-b make-gguf FILE      the same shape as a GGUF file in Q4_K_M, 4.2 GB
    dsm bench seven-b load FOLDER|FILE    loads it as the service does; prints the time and the peak of memory as JSON

`load` reads DTYPE, SLOTS, CONTEXT and THREADS. With SLOTS=1 CONTEXT=256 the KV cache is small beside the weights.
"""

import argparse
import asyncio
import json
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from deepseek_math.bench.command import parser_of, status_of
from deepseek_math.engines.weight_files import weight_bytes
from deepseek_math.service import Service
from deepseek_math.settings import Settings

# deepseek-ai/deepseek-math-7b-rl's config.json: 6,910,365,696 parameters
HIDDEN, INNER, LAYERS, HEADS, VOCABULARY, CONTEXT = 4096, 11008, 30, 32, 102400, 4096
SHARD_LAYERS = 3
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
MATRICES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
NORMS = ("input_layernorm", "post_attention_layernorm")
ENDS = {
    "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
    "lm_head.weight": (VOCABULARY, HIDDEN),
    "model.norm.weight": (HIDDEN,),
}

Shape = tuple[int, ...]


def _layer_shapes(layer: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name, shape in MATRICES.items():
        shapes[f"model.layers.{layer}.{name}.weight"] = shape
    for name in NORMS:
        shapes[f"model.layers.{layer}.{name}.weight"] = (HIDDEN,)
    return shapes


def _shards() -> Iterator[dict[str, Shape]]:
    """The tensors of each file: the embeddings first, then SHARD_LAYERS layers each."""
    yield dict(ENDS)
    for first in range(0, LAYERS, SHARD_LAYERS):
        shapes: dict[str, Shape] = {}
        for layer in range(first, first + SHARD_LAYERS):
            shapes |= _layer_shapes(layer)
        yield shapes


def make(folder: Path) -> None:
    """Writes the checkpoint file by file: never more than one of them is in memory."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    _write_config(folder)
    shards = list(_shards())
    weight_map: dict[str, str] = {}
    total = 0
    for number, shapes in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {name: _random_tensor(shape) for name, shape in shapes.items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        total += sum(tensor.nbytes for tensor in tensors.values())
        weight_map |= dict.fromkeys(tensors, file)
        print(f"{file}: {total / 1e9:.1f} GB so far", flush=True)
        del tensors  # before the next ones are made
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _write_config(folder: Path) -> None:
    """config.json, and a tokenizer with a token for each byte."""
    import tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([BOS, EOS])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS).save_pretrained(folder)
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        dtype="bfloat16",
    ).save_pretrained(folder)


def _random_tensor(shape: Shape) -> Any:
    """A matrix of small random numbers, or the ones of a norm."""
    import torch

    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02)


def make_gguf(file: Path) -> None:
    """Q4_K_M's mixture: Q6_K for the output and for half of the V and down projections, Q4_K for the rest."""
    import gguf

    writer = gguf.GGUFWriter(str(file), "llama", use_temp_file=False)
    _add_metadata(writer)
    _add_tensors(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_metadata(writer: Any) -> None:
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-llm")
    tokens = [chr(256 + byte) if byte < 33 else chr(byte) for byte in range(256)]
    tokens += [f"<unused{number}>" for number in range(256, VOCABULARY)]
    writer.add_token_list(tokens)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(100000)
    writer.add_eos_token_id(100001)


def _add_tensors(writer: Any) -> None:
    import gguf

    q4, q6 = gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K
    random = np.random.default_rng(0)

    def matrix(name: str, rows: int, columns: int, kind: Any) -> None:
        writer.add_tensor(name, _quantized(random, rows, columns, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN, q4)
    matrix("output.weight", VOCABULARY, HIDDEN, q6)
    norm("output_norm.weight")
    for layer in range(LAYERS):
        better = q6 if layer % 2 else q4
        matrix(f"blk.{layer}.attn_q.weight", HIDDEN, HIDDEN, q4)
        matrix(f"blk.{layer}.attn_k.weight", HIDDEN, HIDDEN, q4)
        matrix(f"blk.{layer}.attn_v.weight", HIDDEN, HIDDEN, better)
        matrix(f"blk.{layer}.attn_output.weight", HIDDEN, HIDDEN, q4)
        matrix(f"blk.{layer}.ffn_gate.weight", INNER, HIDDEN, q4)
        matrix(f"blk.{layer}.ffn_up.weight", INNER, HIDDEN, q4)
        matrix(f"blk.{layer}.ffn_down.weight", HIDDEN, INNER, better)
        norm(f"blk.{layer}.attn_norm.weight")
        norm(f"blk.{layer}.ffn_norm.weight")


def _quantized(random: np.random.Generator, rows: int, columns: int, kind: Any) -> "np.ndarray[Any, Any]":
    """Random blocks of 256 weights with small scales, uint8 [rows, bytes of a row]."""
    import gguf

    _, width = gguf.GGML_QUANT_SIZES[kind]
    blocks: Any = random.integers(0, 256, (rows, columns // 256, width), dtype=np.uint8)
    is_q4 = kind is gguf.GGMLQuantizationType.Q4_K
    scales = slice(0, 4) if is_q4 else slice(208, 210)  # a block's half floats: d and dmin, or d alone
    halves = (scales.stop - scales.start) // 2
    blocks[:, :, scales] = np.full(halves, 1e-4, dtype=np.float16).view(np.uint8)
    reshaped: np.ndarray[Any, Any] = blocks.reshape(rows, -1)
    return reshaped


class PeakMemory(threading.Thread):
    """Samples this process's memory without the pages of mapped files."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.anonymous = 0
        self.start()

    def run(self) -> None:
        process = psutil.Process()
        while True:
            memory = process.memory_info()
            self.anonymous = max(self.anonymous, memory.rss - memory.shared)
            time.sleep(0.02)


async def _open_and_close(settings: Settings) -> None:
    service = await Service.open(settings, lambda line: print(line, flush=True))
    await service.engine.close()


def load(path: Path, settings: Settings) -> None:
    """Opens the service on `path`, as setup() does, and prints one JSON line. Raises ServiceError."""
    weights = weight_bytes(path)
    peak = PeakMemory()
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    asyncio.run(_open_and_close(settings))
    seconds = time.perf_counter() - began
    top = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "weights_gb": weights / 1e9,
        "before_gb": before / 1e9,
        "peak_gb": top / 1e9,
        "peak_without_mapped_files_gb": peak.anonymous / 1e9,
        "peak_over_weights": top / weights,
        "seconds": seconds,
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def _bench(options: argparse.Namespace) -> None:
    match options.action:
        case "make":
            make(options.path)
        case "make-gguf":
            make_gguf(options.path)
        case "load":
            load(options.path, Settings.read(weights=options.path))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = parser_of("bench seven-b", __doc__)
    parser.add_argument("action", choices=["make", "make-gguf", "load"])
    parser.add_argument("path", type=Path)
    options = parser.parse_args(arguments)
    return status_of(lambda: _bench(options))
