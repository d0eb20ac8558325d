"""A Llama of 2 layers with random weights, as a checkpoint folder: every engine property shows on it in seconds."""

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
CONTEXT = 512  # tokens
CORPUS = """User: What is 12 + 30? Assistant: Let us think step by step. The answer is \\boxed{42}.
Find the sum of all positive integers x such that x^2 + y^2 = z^2. Therefore the number of solutions is $3$.
Please reason step by step, and put your final answer within \\boxed{}. 请通过逐步推理来解答问题。"""
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def make_tiny_llama(folder: Path, context: int = CONTEXT, heads: int = 4, says: str = "") -> Path:
    """Writes config.json, model.safetensors and the tokenizer's files into `folder`, the same ones every time. With
    `says`, at temperature 0 it says that text over and over, whose tokens must differ from one another."""
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.4,  # at the usual 0.02 every prompt would end in one token repeated
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] = 0  # an end now and then, not in every text
        if says:
            _make_it_say(model, tokenizer.encode(says, add_special_tokens=False))
    model.save_pretrained(folder)
    return folder


def _make_it_say(model: LlamaForCausalLM, ids: list[int]) -> None:
    """Each token's embedding, which the layers leave as it is, is what the output looks for in the next one."""
    assert len(set(ids)) == len(ids) > 1, ids
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[:] = 0
        layer.mlp.down_proj.weight[:] = 0
    model.lm_head.weight[:] = 0
    for token, following in zip(ids, [*ids[1:], ids[0]], strict=True):
        model.lm_head.weight[following] = model.model.embed_tokens.weight[token]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text is tokens, and most characters beyond ASCII are several of them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (BOS, EOS)])
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=EOS, chat_template=TEMPLATE
    )
