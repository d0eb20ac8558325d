"""The tokenizer of a GGUF file without its weights; for files of the DeepSeek family by the right rule.

Community files from before llama.cpp knew the rule `deepseek-llm` (ggml-org/llama.cpp#6920) tokenise by another rule,
and the model loses accuracy in silence. llama.cpp takes the rule from the file alone as far as its Python binding
goes, so the vocabulary is written once more: a GGUF file with the same tokens and merges, the right rule, and one layer
of zeros. A llama.cpp of its own tokenises by it; the model only ever sees token ids, here or on a server elsewhere.

Format: ggml-org/ggml, docs/gguf.md.
"""

import struct
from pathlib import Path
from typing import Any

import xllamacpp

from deepseek_math.engines.llama_cpp.gguf_header import read_metadata
from deepseek_math.engines.llama_cpp.private_http import PrivateHTTP

RULE = "deepseek-llm"
WIDTH = 32  # of the embedding, the least that llama.cpp's block sizes allow
ALIGNMENT = 32
_STRING, _ARRAY, _UINT32, _INT32, _FLOAT32, _BOOL = 8, 9, 4, 5, 6, 7
_F32, _Q8_0 = 0, 8  # tensor types; a block of Q8_0 is 32 values in 34 bytes


class Vocabulary:
    """A llama.cpp that only tokenises, by the vocabulary of the file at `source`; it works in `folder`."""

    def __init__(self, source: Path, folder: Path, rule: str | None = RULE) -> None:
        socket = str(folder / "words.sock")
        params = xllamacpp.CommonParams()
        params.model.path = str(write_vocabulary(source, folder / "vocabulary.gguf", rule))
        params.hostnames = [socket]
        params.n_ctx = params.n_batch = params.n_ubatch = 64  # it aborts on a batch of 1
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.warmup = False
        params.verbosity = -1
        self._server = xllamacpp.Server(params)
        self.http = PrivateHTTP(socket)

    async def close(self) -> None:
        await self.http.close()
        del self._server  # its destructor ends llama.cpp's threads


def write_vocabulary(source: Path, target: Path, rule: str | None = RULE) -> Path:
    """Writes the vocabulary of the GGUF file `source` to `target`, with this rule for splitting text; about 10 MB."""
    data = {name: value for name, value in read_metadata(source).items() if name.startswith("tokenizer.ggml.")}
    tokens = len(data["tokenizer.ggml.tokens"])
    data |= {
        "general.architecture": "llama",
        "llama.context_length": 64,
        "llama.embedding_length": WIDTH,
        "llama.block_count": 1,
        "llama.feed_forward_length": WIDTH,
        "llama.attention.head_count": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "llama.rope.dimension_count": WIDTH,
    }
    if rule is not None:
        data["tokenizer.ggml.pre"] = rule
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (WIDTH, tokens), "output_norm.weight": (WIDTH,)}
    shapes |= {f"blk.0.{name}.weight": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
    matrices = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes |= {f"blk.0.{name}.weight": (WIDTH, WIDTH) for name in matrices}
    infos, offset = b"", 0
    for name, shape in shapes.items():
        kind, size = (_F32, 4 * WIDTH) if len(shape) == 1 else (_Q8_0, 34 * shape[1] * WIDTH // 32)
        infos += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        offset += -(-size // ALIGNMENT) * ALIGNMENT
    pairs = b"".join(_string(name) + _typed(name, value) for name, value in data.items())
    header = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(data)) + pairs + infos
    with target.open("wb") as file:
        file.write(header)
        file.truncate(-(-len(header) // ALIGNMENT) * ALIGNMENT + offset)  # zeros
    return target


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _typed(name: str, value: Any) -> bytes:
    """A value with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    head = struct.pack("<I", _ARRAY)
    if value and isinstance(value[0], str):
        return head + struct.pack("<IQ", _STRING, len(value)) + b"".join(map(_string, value))
    kind, code = (_FLOAT32, "f") if name.endswith("scores") else (_INT32, "i")
    return head + struct.pack(f"<IQ{len(value)}{code}", kind, len(value), *value)
