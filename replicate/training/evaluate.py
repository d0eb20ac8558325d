"""Accuracy of a family checkpoint on held-out problems: `python -m replicate.training.evaluate FOLDER`.

Modes: cot (greedy), vote (majority of several samples at a temperature), tool (its programs run for real, then it goes
on with what they printed), raw (the base model continues the problem as a document). Prints one line of JSON.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM

from replicate.answer import extract
from replicate.equivalence.spelling import key
from replicate.training.documents import HEADS, prompt
from replicate.training.generator import distinct
from replicate.training.interpreter import printed
from replicate.training.model import load
from replicate.training.problem import Problem, latex
from replicate.training.questions import asked as asked_as
from replicate.training.reward import is_correct
from replicate.training.vocabulary import BOS, EOS

SEED = 20261122  # of the held-out problems, the same for every checkpoint
TOKENS = 640  # the longest solution of the field has about 560
BATCH = 128
MARK = "```output"


@torch.inference_mode()
def generate(
    model: LlamaForCausalLM, tokenizer: Tokenizer, texts: Sequence[str], *, temperature: float = 0.0, seed: int = 0
) -> list[str]:
    """The completion of each text, without BOS before it or EOS after it. Texts of one length share a batch."""
    torch.manual_seed(seed)
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    rows = [[bos, *tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    sampled: dict[str, Any] = {"do_sample": True, "temperature": temperature, "top_p": 0.95, "top_k": 0}
    settings = GenerationConfig(
        max_new_tokens=TOKENS,
        pad_token_id=0,
        eos_token_id=eos,
        **(sampled if temperature else {"do_sample": False}),
    )
    completions = [""] * len(rows)
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        longest = max(len(rows[place]) for place in places)
        ids = torch.tensor([[0] * (longest - len(rows[place])) + rows[place] for place in places])
        mask = torch.tensor([[0] * (longest - len(rows[place])) + [1] * len(rows[place]) for place in places])
        ids, mask = ids.to(model.device), mask.to(model.device)
        made = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)[:, longest:]
        for place, row in zip(places, made.tolist(), strict=True):
            kept = row[: row.index(eos)] if eos in row else row
            completions[place] = tokenizer.decode(kept)
    return completions


def with_programs(model: LlamaForCausalLM, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """As the published tool evaluation: what the program really prints replaces what the model expects of it."""
    halves = []
    for text in generate(model, tokenizer, texts):
        before, found, _ = text.partition(MARK)
        program = before.partition("```python\n")[2].partition("\n```")[0]
        halves.append(f"{before.rstrip()}\n{MARK}\n{printed(program)}\n```\n" if found and program else text)
    rest = generate(model, tokenizer, [text + half for text, half in zip(texts, halves, strict=True)])
    return [half + end for half, end in zip(halves, rest, strict=True)]


def majority(answers: Sequence[str | None]) -> str | None:
    """The most frequent answer, the earliest of equals."""
    counts = Counter(key(answer) for answer in answers if answer)
    best = counts.most_common(1)
    return next(answer for answer in answers if answer and key(answer) == best[0][0]) if best else None


def answers(
    model: LlamaForCausalLM, tokenizer: Tokenizer, problems: Sequence[Problem], mode: str, samples: int = 16
) -> list[str]:
    """For each problem a text that states the checkpoint's answer, completions or the majority's box."""
    if mode == "raw":
        return generate(model, tokenizer, [f"{HEADS[one.language][1]}{one.question}\n" for one in problems])
    asked = [prompt(one.question, "tool" if mode == "tool" else "cot", one.language) for one in problems]
    if mode == "tool":
        return with_programs(model, tokenizer, asked)
    if mode == "cot":
        return generate(model, tokenizer, asked)
    repeated = [text for text in asked for _ in range(samples)]
    found = [extract(text).text for text in generate(model, tokenizer, repeated, temperature=0.7, seed=SEED)]
    votes = [majority(found[place : place + samples]) for place in range(0, len(found), samples)]
    return [f"\\boxed{{{vote}}}" if vote else "" for vote in votes]


def evaluate(folder: Path, mode: str, count: int, samples: int = 16) -> dict[str, Any]:
    """Counts and accuracy on the first `count` held-out problems, with the misses by kind."""
    model, tokenizer = load(folder)
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    problems = distinct(SEED, count, held=True)
    start = time.monotonic()
    texts = answers(model, tokenizer, problems, mode, samples)
    right = asyncio.run(_judged(texts, [latex(one.answer) for one in problems]))
    misses = Counter(one.kind for one, good in zip(problems, right, strict=True) if not good)
    result: dict[str, Any] = {"checkpoint": folder.name, "mode": mode, "right": sum(right), "count": count}
    if mode == "vote":
        result["samples"] = samples
    return result | {"seconds": round(time.monotonic() - start, 1), "misses": dict(misses.most_common())}


def accuracy(model: Any, tokenizer: Any, rows: Sequence[Mapping[str, str]]) -> float:
    """The share of questions that `model` answers right, greedy, asked through its tokenizer's chat template."""
    asked = [[{"role": "user", "content": asked_as(row["question"])}] for row in rows]
    texts = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    training, model = model.training, model.eval()
    made = generate(model, tokenizer.backend_tokenizer, [text.removeprefix(BOS) for text in texts])
    model.train(training)
    right = asyncio.run(_judged(made, [row["answer"] for row in rows]))
    return sum(right) / len(right)


async def _judged(texts: Sequence[str], wanted: Sequence[str]) -> list[bool]:
    return [await is_correct(text, answer) for text, answer in zip(texts, wanted, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mode", choices=("cot", "vote", "tool", "raw"), default="cot")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--out", type=Path, help="a file of JSON lines that the result is added to")
    arguments = parser.parse_args()
    line = json.dumps(evaluate(arguments.folder, arguments.mode, arguments.count, arguments.samples))
    print(line)
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
