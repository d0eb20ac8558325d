"""What the model reads of a program: its output in a fenced block, or what went wrong, cut as published.

The published script (deepseek-ai/DeepSeek-Math at b8b0f8c, evaluation/infer/run_tool_integrated_eval.py) keeps 50
characters at each end of an output and 50 tokens at each end of an error.
"""

import time

from deepseek_math.completion import Completion
from deepseek_math.engines.protocol import Tokenizer
from deepseek_math.fences import FENCE, OUTPUT
from deepseek_math.programs.sandbox.outcome import Outcome
from deepseek_math.programs.sandbox.pool import Sandbox

KEPT_CHARACTERS = 50
KEPT_TOKENS = 50
LONGEST_TOKEN = 128  # characters; tokenizers have none that is longer but of blanks


async def run_program(sandbox: Sandbox, program: str, completion: Completion, tokenizer: Tokenizer) -> str:
    """Runs a program and adds the block of its output to the completion, which is returned. Raises ServiceError."""
    started = time.perf_counter()
    outcome = await sandbox.run(program)
    waited = time.perf_counter() - started
    line_break = "" if completion.text.endswith("\n") else "\n"
    block = f"{line_break}{OUTPUT}\n{await shown(outcome, tokenizer)}\n{FENCE}\n"
    completion.add_program(block, outcome.seconds, waited, failed=outcome.error is not None)
    return block


async def shown(outcome: Outcome, tokenizer: Tokenizer) -> str:
    """The output, or what went wrong where there is none or the program failed."""
    printed = outcome.printed.strip()
    if outcome.error is None and printed:
        text = _cut_by_characters(printed)
    else:
        error = (outcome.error or "").strip()
        text = f"Runtime errors: {await _cut_by_tokens(error, tokenizer)}".strip()
    return text.replace(FENCE, "'''")  # or what follows in the output would pass for the model's own words


def _cut_by_characters(text: str) -> str:
    if len(text) <= 2 * KEPT_CHARACTERS:
        return text
    return f"{text[:KEPT_CHARACTERS]}...{text[-KEPT_CHARACTERS:]}"


async def _cut_by_tokens(text: str, tokenizer: Tokenizer) -> str:
    if await _tokens(text, tokenizer) <= 2 * KEPT_TOKENS:
        return text
    longest = KEPT_TOKENS * LONGEST_TOKEN
    head, tail = text[:longest], text[-longest:]
    head = head[: await _kept(head, tokenizer, from_the_end=False)]
    tail = tail[-await _kept(tail, tokenizer, from_the_end=True) :]
    return f"{head.strip()} ... {tail.strip()}"


async def _kept(text: str, tokenizer: Tokenizer, *, from_the_end: bool) -> int:
    """How many characters at an end of `text` are KEPT_TOKENS tokens, found by halving."""
    fits, too_many = 1, len(text) + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        part = text[-middle:] if from_the_end else text[:middle]
        if await _tokens(part, tokenizer) <= KEPT_TOKENS:
            fits = middle
        else:
            too_many = middle
    return fits


async def _tokens(text: str, tokenizer: Tokenizer) -> int:
    return len(await tokenizer.encode(text, control=False))
