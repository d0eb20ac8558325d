"""How many held-out questions a model in training answers right: greedy, in this process, without the service."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM

from deepseek_math.answers.judging import judge
from deepseek_math.prompts import asked
from deepseek_math.training.problem import TOKENS
from deepseek_math.training.reward import is_correct
from deepseek_math.training.vocabulary import BOS, EOS

BATCH = 128
PAD = 0


def accuracy(model: Any, tokenizer: Any, rows: Sequence[Mapping[str, str]]) -> float:
    """The share of questions that `model` answers right, asked through its tokenizer's chat template."""
    turns = [[{"role": "user", "content": asked(row["question"], "cot")}] for row in rows]
    prompts = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    was_training = model.training
    model.eval()
    completions = generate(model, tokenizer.backend_tokenizer, [prompt.removeprefix(BOS) for prompt in prompts])
    model.train(was_training)
    return asyncio.run(_share_right(completions, [row["answer"] for row in rows]))


async def _share_right(completions: Sequence[str], answers: Sequence[str]) -> float:
    try:
        right = [await is_correct(text, answer) for text, answer in zip(completions, answers, strict=True)]
    finally:
        await judge().close()
    return sum(right) / len(right)


@torch.inference_mode()
def generate(model: LlamaForCausalLM, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """The greedy completion of each text, without BOS before it or EOS after it. Texts of like length share a batch."""
    bos = tokenizer.encode(BOS, add_special_tokens=False).ids
    prompts = [bos + tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    completions = [""] * len(prompts)
    for start in range(0, len(by_length), BATCH):
        batch = by_length[start : start + BATCH]
        for index, ids in zip(batch, _generate([prompts[index] for index in batch], model, tokenizer), strict=True):
            completions[index] = tokenizer.decode(ids)
    return completions


def _generate(prompts: Sequence[list[int]], model: LlamaForCausalLM, tokenizer: Tokenizer) -> list[list[int]]:
    """The token ids of one batch of completions, up to their EOS. Prompts are padded on the left."""
    eos = tokenizer.token_to_id(EOS)
    settings = GenerationConfig(max_new_tokens=TOKENS, pad_token_id=PAD, eos_token_id=eos, do_sample=False)
    longest = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    output = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
    )
    completions: list[list[int]] = output[:, longest:].tolist()
    return [completion[: completion.index(eos)] if eos in completion else completion for completion in completions]
