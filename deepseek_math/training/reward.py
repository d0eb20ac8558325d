"""The reward of reinforcement learning: 1 for an answer that the service itself calls correct, else 0.

The answer is found by `answers.extraction` and compared by `answers.judging`: it is what the metric `correct` says.
"""

from typing import Any

from deepseek_math.answers.extraction import extract
from deepseek_math.answers.judging import judge

Turns = list[dict[str, str]]


async def correct(completions: list[Turns | str], answer: list[str], **_: Any) -> list[float]:
    """TRL's signature of a reward: completions, and the data set's column `answer`."""
    return [float(await is_correct(_text(text), wanted)) for text, wanted in zip(completions, answer, strict=True)]


async def is_correct(text: str, wanted: str) -> bool:
    found = extract(text).text
    return found is not None and await judge().equivalent(found, wanted)


def _text(completion: Turns | str) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"]
