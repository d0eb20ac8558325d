"""Writes a checkpoint of the tiny family as a GGUF file: the same weights, tokenizer and chat template."""

from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import LlamaForCausalLM

from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE
from deepseek_math.training.tiny_model import load
from deepseek_math.training.vocabulary import BOS, EOS, UNKNOWN

TENSORS = {  # of a layer: transformers' name: llama.cpp's name
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
ROTATED = ("self_attn.q_proj", "self_attn.k_proj")


def convert(folder: Path, path: Path, kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F16) -> None:
    """Writes the checkpoint in `folder` to `path`. Matrices become `kind`, vectors stay float32."""
    model, tokenizer = load(folder)
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"tiny-{folder.name}")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    _add_vocabulary(writer, [tokenizer.id_to_token(number) or "" for number in range(config.vocab_size)])
    for name, tensor in _tensors(model):
        array = tensor.numpy().astype(np.float32)
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    """As for llama.cpp's SentencePiece tokenizer: of two possible merges the one with the higher score comes first."""
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([_token_type(token) for token in tokens])
    writer.add_bos_token_id(tokens.index(BOS))
    writer.add_eos_token_id(tokens.index(EOS))
    writer.add_unk_token_id(tokens.index(UNKNOWN))
    writer.add_pad_token_id(tokens.index(UNKNOWN))
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(DEEPSEEK_TEMPLATE)


def _token_type(token: str) -> gguf.TokenType:
    if token == UNKNOWN:
        return gguf.TokenType.UNKNOWN
    if token in (BOS, EOS):
        return gguf.TokenType.CONTROL
    if token.startswith("<0x"):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL


def _tensors(model: LlamaForCausalLM) -> list[tuple[str, torch.Tensor]]:
    """Tensors under llama.cpp's names, queries and keys in its order of rotated pairs. Tied embeddings come once."""
    state = model.state_dict()
    tensors = [
        ("token_embd.weight", state["model.embed_tokens.weight"]),
        ("output_norm.weight", state["model.norm.weight"]),
    ]
    heads = model.config.num_attention_heads
    for layer in range(model.config.num_hidden_layers):
        for name, short in TENSORS.items():
            tensor = state[f"model.layers.{layer}.{name}.weight"]
            if name in ROTATED:
                rows, columns = tensor.shape
                halves = tensor.reshape(heads, 2, rows // heads // 2, columns)
                tensor = halves.swapaxes(1, 2).reshape(rows, columns)
            tensors.append((f"blk.{layer}.{short}.weight", tensor))
    return tensors
