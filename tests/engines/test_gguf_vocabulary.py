"""GGUF files of the DeepSeek family tokenise as published, whatever they say; contradictory ones are refused."""

import json
import logging
import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.errors import ServiceError
from deepseek_math.sampling import Sampling
from tests.conftest import shared

gguf = pytest.importorskip("gguf", reason="the package gguf, which writes the files, is not installed")

WIDTH, TOKENS = 64, 102400
NORMAL, CONTROL, USER, UNUSED = 1, 3, 4, 5


@cache
def vocabulary() -> tuple[list[str], list[int], list[str]]:
    """Tokens, their kinds, and merges, from DeepSeekMath's own tokenizer.json."""
    tokenizer = json.loads((shared("deepseek_tokenizer") / "tokenizer.json").read_text())
    tokens = [""] * TOKENS
    kinds = [UNUSED] * TOKENS
    for token, number in tokenizer["model"]["vocab"].items():
        tokens[number], kinds[number] = token, NORMAL
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], kinds[added["id"]] = added["content"], CONTROL if added["special"] else USER
    tokens = [token or f"[PAD{number}]" for number, token in enumerate(tokens)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    return tokens, kinds, merges


def tiny(path: Path, pre: str | None, *, rows: int = TOKENS, bos: int = 100000) -> Path:
    """One layer of random weights with DeepSeekMath's own vocabulary."""
    tokens, kinds, merges = vocabulary()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(100001)
    writer.add_add_bos_token(True)
    rng = np.random.default_rng(0)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", rng.normal(size=(WIDTH, WIDTH)).astype(np.float16))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("token_embd.weight", rng.normal(size=(rows, WIDTH)).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("pre", [None, "default", "deepseek-coder", "deepseek-llm"])
async def test_the_tokens_are_those_of_the_published_tokenizer(
    tmp_path: Path, pre: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = json.loads((shared("deepseek_tokenizer") / "vectors.json").read_text())
    engine = LlamaCppEngine(tiny(tmp_path / "tiny.gguf", pre), slots=1)
    with caplog.at_level(logging.WARNING):
        await engine.start()
    try:
        found = [await engine.tokenizer.encode(vector["text"], control=False) for vector in vectors]
        assert found == [vector["ids"] for vector in vectors]
        assert (engine.tokenizer.bos, engine.tokenizer.bos_text) == (100000, "<｜begin▁of▁sentence｜>")
        assert await engine.tokenizer.encode(engine.tokenizer.bos_text, control=True) == [100000]
        assert len(await engine.tokenizer.encode(engine.tokenizer.bos_text, control=False)) > 1
        assert ("loaded with deepseek-llm" in caplog.text) == (pre != "deepseek-llm")
        assert "llama.cpp guesses" not in caplog.text
        deltas = [delta async for delta in engine.generate([100000, 17464], Sampling(max_new_tokens=4))]
        assert deltas[-1].finish
    finally:
        await engine.close()


async def test_the_file_s_own_rule_would_have_been_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above guard against does happen."""
    vectors = json.loads((shared("deepseek_tokenizer") / "vectors.json").read_text())
    engine = LlamaCppEngine(tiny(tmp_path / "tiny.gguf", None), slots=1)
    monkeypatch.setattr(type(engine._header), "deepseek", False)
    await engine.start()
    try:
        found = [await engine.tokenizer.encode(vector["text"], control=False) for vector in vectors]
    finally:
        await engine.close()
    assert found != [vector["ids"] for vector in vectors]


def test_a_vocabulary_that_contradicts_its_header_is_refused(tmp_path: Path) -> None:
    for number, wrong in enumerate(({"rows": 102016}, {"bos": 102400})):
        with pytest.raises(ServiceError, match="checkpoint_unusable.*vocabulary has 102400 tokens"):
            read_header(tiny(tmp_path / f"{number}.gguf", None, **wrong))


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


HEAD = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
WHOLE = {"llama.embedding_length": 64, "llama.attention.head_count": 0, "tokenizer.ggml.tokens": 3}


@pytest.mark.parametrize(
    "data",
    [
        HEAD + struct.pack("<Q", 1 << 62),
        HEAD + _text("k") + struct.pack("<IIQ", 9, 4, 1 << 62),
        HEAD + _text("k") + (struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000),
        HEAD + _text("k") + struct.pack("<I", 99),
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + _text("token_embd.weight") + struct.pack("<I", 0) + bytes(12),
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1 + len(WHOLE))
        + (_text("general.architecture") + struct.pack("<I", 8) + _text("llama"))
        + b"".join(_text(key) + struct.pack("<II", 4, value) for key, value in WHOLE.items()),
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 3)
        + (_text("general.architecture") + struct.pack("<I", 8) + _text("llama"))
        + (_text("llama.embedding_length") + struct.pack("<II", 4, 64))
        + (_text("llama.attention.head_count") + struct.pack("<IIQ", 9, 4, 0)),
    ],
    ids=["long text", "long array", "deep array", "unknown kind", "no dimensions", "no heads", "heads in an array"],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(data)
    with pytest.raises(ServiceError, match="checkpoint_unusable"):
        read_header(tmp_path / "m.gguf")
