"""GGUF files of the DeepSeek family tokenise as published, whatever they say; contradictory ones are refused."""

import json
import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepseek_math.engines.llama_cpp import gguf_header
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.errors import ServiceError
from deepseek_math.sampling import Sampling
from tests.support.deepseek_tokenizer import BOS, EOS, FOLDER, PUBLISHED

gguf = pytest.importorskip("gguf", reason="the package gguf, which writes the files, is not installed")

WIDTH, TOKENS = 64, 102400
NORMAL, CONTROL, USER, UNUSED = 1, 3, 4, 5
LOADED = [(FOLDER, pre) for pre in (None, "default", "deepseek-coder", "deepseek-llm")]
if PUBLISHED.exists():  # in addition: no test needs it
    LOADED.append((PUBLISHED, None))


@dataclass(frozen=True)
class Vocabulary:
    tokens: list[str]
    kinds: list[int]
    merges: list[str]

    @classmethod
    def of(cls, folder: Path, size: int = 0) -> "Vocabulary":
        """The tokens of a tokenizer.json, filled up to `size`."""
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        numbered = sorted((number, token, NORMAL) for token, number in tokenizer["model"]["vocab"].items())
        for added in tokenizer["added_tokens"]:
            numbered.append((added["id"], added["content"], CONTROL if added["special"] else USER))
        numbered += [(number, f"[PAD{number}]", UNUSED) for number in range(len(numbered), size)]
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
        return cls([token for _, token, _ in numbered], [kind for *_, kind in numbered], merges)

    @property
    def bos(self) -> int:
        return self.tokens.index(BOS)


def opened(path: Path, folder: Path, pre: str | None, monkeypatch: pytest.MonkeyPatch) -> LlamaCppEngine:
    """An engine on a file that is DeepSeek's to the service, though its vocabulary may be small."""
    vocabulary = Vocabulary.of(folder, TOKENS if folder == PUBLISHED else 0)
    monkeypatch.setattr(gguf_header, "DEEPSEEK", ("llama", len(vocabulary.tokens), BOS, EOS))
    return LlamaCppEngine(tiny(path, vocabulary, pre), slots=1)


def vectors(folder: Path) -> list[dict[str, Any]]:
    """Texts and their ids."""
    found: list[dict[str, Any]] = json.loads((folder / "vectors.json").read_text())
    return found


def tiny(path: Path, vocabulary: Vocabulary, pre: str | None, rows: int | None = None, bos: int | None = None) -> Path:
    """One layer of random weights with this vocabulary."""
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
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.bos if bos is None else bos)
    writer.add_eos_token_id(vocabulary.bos + 1)
    writer.add_add_bos_token(True)
    rng = np.random.default_rng(0)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", rng.normal(size=(WIDTH, WIDTH)).astype(np.float16))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.add_tensor("token_embd.weight", rng.normal(size=(rows or len(vocabulary.tokens), WIDTH)).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("folder", "pre"), LOADED)
async def test_the_tokens_are_those_of_the_published_rules(
    tmp_path: Path, folder: Path, pre: str | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(tmp_path / "tiny.gguf", folder, pre, monkeypatch)
    with caplog.at_level(logging.WARNING):
        await engine.start()
    try:
        found = [await engine.tokenizer.encode(vector["text"], control=False) for vector in vectors(folder)]
        assert found == [vector["ids"] for vector in vectors(folder)]
        bos = engine.tokenizer.bos
        assert (bos, engine.tokenizer.bos_text) == (Vocabulary.of(folder).bos, BOS)
        assert await engine.tokenizer.encode(BOS, control=True) == [bos]
        assert len(await engine.tokenizer.encode(BOS, control=False)) > 1
        assert ("loaded with deepseek-llm" in caplog.text) == (pre != "deepseek-llm")
        assert "llama.cpp guesses" not in caplog.text
        deltas = [delta async for delta in engine.generate([5, 464], Sampling(max_new_tokens=4))]
        assert deltas[-1].finish
    finally:
        await engine.close()


async def test_the_file_s_own_rule_would_have_been_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above guard against does happen."""
    engine = opened(tmp_path / "tiny.gguf", FOLDER, None, monkeypatch)
    monkeypatch.setattr(type(engine._header), "deepseek", False)
    await engine.start()
    try:
        found = [await engine.tokenizer.encode(vector["text"], control=False) for vector in vectors(FOLDER)]
    finally:
        await engine.close()
    assert found != [vector["ids"] for vector in vectors(FOLDER)]


def test_a_vocabulary_of_deepseek_s_size_and_control_tokens_is_deepseek_s(tmp_path: Path) -> None:
    for size, deepseek in ((TOKENS, True), (TOKENS + 1, False)):
        header = read_header(tiny(tmp_path / f"{size}.gguf", Vocabulary.of(FOLDER, size), None))
        assert (header.vocabulary, header.deepseek) == (size, deepseek)


def test_a_vocabulary_that_contradicts_its_header_is_refused(tmp_path: Path) -> None:
    vocabulary = Vocabulary.of(FOLDER)
    size = len(vocabulary.tokens)
    for number, wrong in enumerate(({"rows": size - 1}, {"bos": size})):
        with pytest.raises(ServiceError, match=f"checkpoint_unusable.*vocabulary has {size} tokens"):
            read_header(tiny(tmp_path / f"{number}.gguf", vocabulary, None, **wrong))


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
