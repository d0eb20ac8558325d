"""The reward of reinforcement learning: 1 for an answer that the service itself calls correct, else 0.

`answers.extraction` finds the answer and `answers.judging` compares it, as for the metric `correct`.
"""

from typing import Any

from deepseek_math.answers.extraction import extract
from deepseek_math.answers.judging import judge

Turns = list[dict[str, str]]


async def correct(completions: list[Turns | str], answer: list[str], **_: Any) -> list[float]:
    """A reward function as TRL calls it: with the completions, and with the data set's column `answer`."""
    rewards = []
    for completion, expected in zip(completions, answer, strict=True):
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        rewards.append(float(await is_correct(text, expected)))
    return rewards


async def is_correct(text: str, expected: str) -> bool:
    found = extract(text).text
    return found is not None and await judge().equivalent(found, expected)
