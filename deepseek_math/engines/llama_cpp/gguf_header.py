"""Reads what the service must know of a GGUF file before it loads it, in milliseconds.

Format: ggml-org/ggml, docs/gguf.md (versions 2 and 3). The `gguf` package reads the same in seconds, since it
builds an object for every token of the vocabulary.
"""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from deepseek_math.errors import ServiceError

_SCALARS = dict(enumerate("BbHhIif?", start=0)) | {10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONG = 1 << 20  # bytes: a length over this is compared with the file before they are read
_FAULTS = (
    *(OSError, EOFError, struct.error, ValueError, OverflowError, RecursionError),
    *(TypeError, IndexError, ZeroDivisionError),  # a key with a value of another kind than the format has
)

# Kinds of weights (ggml's `ggml_type`) whose texts don't depend on their company, given the engine's settings for it:
# F32, F16, Q4_0, Q4_1, Q5_0, Q8_0 (docs/determinism.md). K-quants and BF16 are multiplied by other kernels for one row
# than for several.
EXACT_KINDS = {0, 1, 2, 3, 6, 8}

# Architecture, tokens, BOS and EOS of DeepSeek LLM and DeepSeekMath (config.json and tokenizer_config.json of
# deepseek-ai/deepseek-math-7b-rl).
DEEPSEEK = ("llama", 102400, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """The part of the metadata that the service uses."""

    context: int
    blocks: int  # layers, less the output
    exact: bool  # whether all matrices are of kinds that llama.cpp multiplies exactly alike whatever the batch
    kv_values_per_token: int  # values of K and V that one token leaves in the cache, over all layers
    vocabulary: int  # tokens
    splits: str | None  # the rule for splitting text before tokenising (tokenizer.ggml.pre), for llama.cpp to name
    splits_unsaid: bool  # a byte-level vocabulary that names none
    deepseek: bool  # a Llama with the vocabulary of DeepSeek LLM, which DeepSeekMath has too
    bos: int | None
    bos_text: str
    eos_text: str
    chat_template: str | None


def read_metadata(path: Path) -> dict[str, Any]:
    """All of the file's key-value pairs."""
    with path.open("rb") as file:
        return _metadata(file)[0]


def read_header(path: Path) -> GGUFHeader:
    """Raises ServiceError("checkpoint_unusable") when the file is no GGUF file, lacks a key or contradicts itself."""
    try:
        with path.open("rb") as file:
            return _header(*_metadata(file))
    except _FAULTS as error:
        raise ServiceError("checkpoint_unusable", f"{path} can't be read as a GGUF file: {error}.") from error
    except KeyError as error:
        raise ServiceError("checkpoint_unusable", f"{path} has no {error} in its header.") from error


def _header(data: dict[str, Any], tensors: "Tensors") -> GGUFHeader:
    kind = data["general.architecture"]
    heads, width = data[f"{kind}.attention.head_count"], data[f"{kind}.embedding_length"]
    key = data.get(f"{kind}.attention.key_length", width // heads)
    value = data.get(f"{kind}.attention.value_length", width // heads)
    kv_heads = data.get(f"{kind}.attention.head_count_kv", heads)
    tokens = data["tokenizer.ggml.tokens"]
    bos, eos = data.get("tokenizer.ggml.bos_token_id"), data.get("tokenizer.ggml.eos_token_id")
    if tensors.rows is not None and tensors.rows != len(tokens):
        raise ValueError(f"its vocabulary has {len(tokens)} tokens and its embedding {tensors.rows} rows")
    for role, token in (("BOS", bos), ("EOS", eos)):
        if token is not None and not 0 <= token < len(tokens):
            raise ValueError(f"its {role} is token {token} and its vocabulary has {len(tokens)} tokens")
    bos_text, eos_text = ("" if token is None else tokens[token] for token in (bos, eos))
    return GGUFHeader(
        context=data[f"{kind}.context_length"],
        blocks=data[f"{kind}.block_count"],
        exact=tensors.kinds <= EXACT_KINDS,
        kv_values_per_token=data[f"{kind}.block_count"] * kv_heads * (key + value),
        vocabulary=len(tokens),
        splits=data.get("tokenizer.ggml.pre"),
        deepseek=(kind, len(tokens), bos_text, eos_text) == DEEPSEEK,
        splits_unsaid=data.get("tokenizer.ggml.model") == "gpt2" and "tokenizer.ggml.pre" not in data,
        bos=bos,
        bos_text=bos_text,
        eos_text=eos_text,
        chat_template=data.get("tokenizer.chat_template"),
    )


@dataclass(slots=True)
class Tensors:
    """What a file says of them; of all but the first file of several, nothing."""

    rows: int | None = None  # of the embedding, where the file has one
    kinds: set[int] = field(default_factory=set)  # of the matrices in its blocks


def _metadata(file: BinaryIO) -> tuple[dict[str, Any], Tensors]:
    """The key-value pairs, and the tensors."""
    if _read(file, 4) != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    version, count_of_tensors, count = struct.unpack("<IQQ", _read(file, 20))
    if version not in (2, 3):
        raise ValueError(f"its version is {version}, not 2 or 3")
    data = {_value(file, _STRING): _value(file, _number(file, "I")) for _ in range(count)}
    tensors = Tensors()
    for _ in range(count_of_tensors):
        name = _value(file, _STRING)
        dimensions = _number(file, "I")
        sizes = struct.unpack(f"<{dimensions}Q", _read(file, 8 * dimensions))
        kind, _ = struct.unpack("<IQ", _read(file, 12))  # its type and offset
        if name == "token_embd.weight":
            tensors.rows = sizes[-1]
        if name.startswith("blk.") and dimensions > 1:
            tensors.kinds.add(kind)
    return data, tensors


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _read(file, _number(file, "Q")).decode("utf-8", "replace")
    if kind == _ARRAY:
        inner, length = struct.unpack("<IQ", _read(file, 12))
        if inner in _SCALARS:
            size = struct.calcsize("<" + _SCALARS[inner])
            return struct.unpack(f"<{length}{_SCALARS[inner]}", _read(file, length * size))
        return [_value(file, inner) for _ in range(length)]
    return _number(file, _SCALARS[kind])


def _number(file: BinaryIO, code: str) -> Any:
    return struct.unpack("<" + code, _read(file, struct.calcsize("<" + code)))[0]


def _read(file: BinaryIO, size: int) -> bytes:
    if size > _LONG and size > os.fstat(file.fileno()).st_size - file.tell():
        raise EOFError(f"it says that {size} bytes follow, and it ends before")
    data = file.read(size)
    if len(data) < size:
        raise EOFError("it ends too soon")
    return data
