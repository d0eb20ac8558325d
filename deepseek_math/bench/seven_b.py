"""A checkpoint of DeepSeekMath 7B's shape with random weights, to measure loading: 13.8 GB of disk, no network.

    python -m deepseek_math.bench.seven_b make FOLDER    # safetensors in bfloat16, one shard of about 1 GB at a time
    python -m deepseek_math.bench.seven_b make-gguf FILE    # the same shape as Q4_K_M, 4.2 GB
    python -m deepseek_math.bench.seven_b load FOLDER-OR-FILE    # loads it as the service does: weights, peak memory

`load` heeds DTYPE, SLOTS, CONTEXT and THREADS: with SLOTS=1 CONTEXT=256 the KV cache is small beside the weights.

The shape is that of the published config.json (deepseek-ai/deepseek-math-7b-rl): 6,910,365,696 parameters.
"""

import argparse
import asyncio
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from deepseek_math.service import Service
from deepseek_math.settings import Settings

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY, CONTEXT = 4096, 11008, 30, 32, 102400, 4096
SHARD_LAYERS = 3
MATRICES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}


def shapes(layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, shape in MATRICES.items():
        yield f"model.layers.{layer}.{name}.weight", shape
    for norm in ("input_layernorm", "post_attention_layernorm"):
        yield f"model.layers.{layer}.{norm}.weight", (HIDDEN,)


def make(folder: Path) -> None:
    """Writes the checkpoint shard by shard: never more than one shard in memory."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig

    from tests.support.tiny_llama import make_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer().save_pretrained(folder)
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
    ends: list[tuple[str, tuple[int, ...]]] = [
        ("model.embed_tokens.weight", (VOCABULARY, HIDDEN)),
        ("lm_head.weight", (VOCABULARY, HIDDEN)),
        ("model.norm.weight", (HIDDEN,)),
    ]
    groups = [ends] + [
        [pair for layer in range(first, first + SHARD_LAYERS) for pair in shapes(layer)]
        for first in range(0, LAYERS, SHARD_LAYERS)
    ]
    places: dict[str, str] = {}
    total = 0
    for number, group in enumerate(groups, 1):
        file = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        shard = {
            name: torch.ones(shape, dtype=torch.bfloat16)
            if len(shape) == 1
            else torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02)
            for name, shape in group
        }
        save_file(shard, folder / file, metadata={"format": "pt"})
        total += sum(tensor.nbytes for tensor in shard.values())
        places |= dict.fromkeys(shard, file)
        print(f"{file}: {total / 1e9:.1f} GB so far", flush=True)
        del shard
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def make_gguf(file: Path) -> None:
    """Q4_K_M's mixture: Q6_K for the output, half of the V and of the down projections, Q4_K for the rest."""
    import gguf

    writer = gguf.GGUFWriter(str(file), "llama", use_temp_file=False)
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
    q4, q6 = gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K
    rng = np.random.default_rng(0)

    def matrix(name: str, rows: int, columns: int, kind: Any) -> None:
        _, width = gguf.GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (rows, columns // 256, width), dtype=np.uint8)
        scales = slice(0, 4) if kind is q4 else slice(208, 210)  # the half floats of a block: d and dmin, or d
        small = np.full(scales.stop - scales.start >> 1, 1e-4, dtype=np.float16).view(np.uint8)
        blocks[:, :, scales] = small
        writer.add_tensor(name, blocks.reshape(rows, -1), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN, q4)
    matrix("output.weight", VOCABULARY, HIDDEN, q6)
    norm("output_norm.weight")
    for layer in range(LAYERS):
        better = q6 if layer % 2 else q4
        for name, kind in (("attn_q", q4), ("attn_k", q4), ("attn_v", better), ("attn_output", q4)):
            matrix(f"blk.{layer}.{name}.weight", HIDDEN, HIDDEN, kind)
        for name in ("ffn_gate", "ffn_up"):
            matrix(f"blk.{layer}.{name}.weight", INNER, HIDDEN, q4)
        matrix(f"blk.{layer}.ffn_down.weight", HIDDEN, INNER, better)
        norm(f"blk.{layer}.attn_norm.weight")
        norm(f"blk.{layer}.ffn_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class PeakMemory(threading.Thread):
    """Samples this process's memory: in all (RSS), and without the pages of mapped files."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.anonymous = 0
        self.resident = 0
        self.start()

    def run(self) -> None:
        process = psutil.Process()
        while True:
            memory = process.memory_info()
            self.resident = max(self.resident, memory.rss)
            self.anonymous = max(self.anonymous, memory.rss - memory.shared)
            time.sleep(0.02)


def load(path: Path, settings: Settings) -> None:
    """Opens the service on `path`, as setup() does, and prints one JSON line with the memory it took."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    weights = sum(file.stat().st_size for file in files)
    peak = PeakMemory()
    before = psutil.Process().memory_info().rss

    async def opened() -> None:
        service = await Service.open(settings, lambda line: print(line, flush=True))
        await service.engine.close()

    asyncio.run(opened())
    top = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "weights_gb": weights / 1e9,
        "before_gb": before / 1e9,
        "peak_gb": top / 1e9,
        "peak_without_mapped_files_gb": peak.anonymous / 1e9,
        "peak_over_weights": top / weights,
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "make-gguf", "load"])
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    if options.action == "make":
        make(options.path)
    elif options.action == "make-gguf":
        make_gguf(options.path)
    else:
        load(options.path, Settings.read(weights=options.path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
