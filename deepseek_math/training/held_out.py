"""How often a model that is being trained answers held-out questions right: greedy, in one process, no service."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM

from deepseek_math.answers.judging import judge
from deepseek_math.prompts import asked
from deepseek_math.training.reward import is_correct
from deepseek_math.training.vocabulary import BOS, EOS

TOKENS = 640  # the longest solution of the field has about 560
BATCH = 128


def accuracy(model: Any, tokenizer: Any, rows: Sequence[Mapping[str, str]]) -> float:
    """The share of questions that `model` answers right, asked through its tokenizer's chat template."""
    turns = [[{"role": "user", "content": asked(row["question"], "cot")}] for row in rows]
    texts = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    training, model = model.training, model.eval()
    made = generate(model, tokenizer.backend_tokenizer, [text.removeprefix(BOS) for text in texts])
    model.train(training)
    return asyncio.run(_judged(made, [row["answer"] for row in rows]))


async def _judged(texts: Sequence[str], wanted: Sequence[str]) -> float:
    try:
        right = [await is_correct(text, answer) for text, answer in zip(texts, wanted, strict=True)]
    finally:
        await judge().close()
    return sum(right) / len(right)


@torch.inference_mode()
def generate(model: LlamaForCausalLM, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """The greedy completion of each text, without BOS before it or EOS after it. Texts of like length share a batch."""
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    rows = [[bos, *tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    settings = GenerationConfig(max_new_tokens=TOKENS, pad_token_id=0, eos_token_id=eos, do_sample=False)
    completions = [""] * len(rows)
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        longest = max(len(rows[place]) for place in places)
        ids = torch.tensor([[0] * (longest - len(rows[place])) + rows[place] for place in places])
        mask = torch.tensor([[0] * (longest - len(rows[place])) + [1] * len(rows[place]) for place in places])
        ids, mask = ids.to(model.device), mask.to(model.device)
        made = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)[:, longest:]
        for place, row in zip(places, made.tolist(), strict=True):
            completions[place] = tokenizer.decode(row[: row.index(eos)] if eos in row else row)
    return completions
