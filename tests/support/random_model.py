"""A Llama of 2 layers with random weights as a GGUF file: fast, and every seed's text is another.

Hardly a text ends by itself below a temperature of 2. It says English words in lower case, and its tokenizer is the
small one of DeepSeek's rules.
"""

import json
import re
from pathlib import Path
from typing import Any

import gguf
import gguf.quants
import numpy as np
from tokenizers import Tokenizer

from tests.support.deepseek_tokenizer import BOS, EOS, FOLDER

LAYERS, WIDTH, INNER, HEADS = 2, 96, 128, 3
BLOCK = 32  # weights that share a scale in Q8_0
NORMAL, CONTROL, USER = 1, 3, 4
CONTEXT = 8192  # tokens
NEVER, SELDOM = -100.0, 1.4  # in the output's first block

Array = Any


def make_random_model(path: Path, says: str = "") -> Path:
    """Writes the GGUF file, the same one every time. With `says`, at temperature 0 it says that text over and over,
    whose tokens must differ from one another."""
    tokenizer = json.loads((FOLDER / "tokenizer.json").read_text())
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    kinds = [NORMAL] * len(tokens)
    for added in tokenizer["added_tokens"]:
        tokens.append(added["content"])
        kinds.append(CONTROL if added["special"] else USER)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("deepseek-llm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(tokens.index(BOS))
    writer.add_eos_token_id(tokens.index(EOS))
    writer.add_add_bos_token(True)
    writer.add_chat_template(json.loads((FOLDER / "tokenizer_config.json").read_text())["chat_template"])
    for name, values in weights(tokens, says).items():
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:  # a kind in which llama.cpp's texts are exact, whatever is computed beside them
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def weights(tokens: list[str], says: str) -> dict[str, Array]:
    """The tensors by their names in GGUF. The first block of a hidden state is the same for every token, so that what
    the output has there is added to a token's logit."""
    rng = np.random.default_rng(0)

    def random(rows: int, columns: int, scale: float) -> Array:
        values: Array = scale * rng.normal(size=(rows, columns))
        return values.astype(np.float32)

    found: dict[str, Array] = {"output_norm.weight": np.ones(WIDTH, dtype=np.float32)}
    shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (WIDTH, WIDTH))
    shapes |= {"ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            values = random(*shape, 0.01 if says else 0.4)
            if name in ("attn_output", "ffn_down"):
                values[:BLOCK] = 0
            found[f"blk.{layer}.{name}.weight"] = values
        for name in ("attn_norm", "ffn_norm"):
            found[f"blk.{layer}.{name}.weight"] = np.ones(WIDTH, dtype=np.float32)
    embedding, output = random(len(tokens), WIDTH, 1.0), random(len(tokens), WIDTH, 0.4)
    embedding[:, :BLOCK] = 1
    words = np.array([bool(re.fullmatch("Ġ[a-z]+", token)) for token in tokens])
    output[:, :BLOCK] = np.where(words, 0, NEVER)[:, None]
    output[tokens.index(EOS)] = 0
    output[tokens.index(EOS), :BLOCK] = SELDOM
    if says:
        ids = Tokenizer.from_file(str(FOLDER / "tokenizer.json")).encode(says, add_special_tokens=False).ids
        assert len(set(ids)) == len(ids) > 1, ids
        output[:] = 0
        for token, following in zip(ids, [*ids[1:], ids[0]], strict=True):
            output[following] = embedding[token]  # and the layers add too little to change that
            output[following, :BLOCK] = 0
    return found | {"token_embd.weight": embedding, "output.weight": output}
