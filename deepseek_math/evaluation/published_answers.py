"""What the published grader takes for a completion's answer: its extraction rules, restated one function a form.

Source: deepseek-ai/DeepSeek-Math at b8b0f8c, evaluation/data_processing/answer_extraction.py. Without a box or a phrase
the last number counts. Answers to a question alone are in normal form, answers after shots as they stand, as there.
"""

import re

from deepseek_math.evaluation.published_equality import normal

INVALID = "[invalid]"

_NUMBER = re.compile(r"-?\d*\.?\d+")
_FEW_SHOT_NUMBER = re.compile(r"-?\d+\.?\d*")


def solved(text: str) -> list[str]:
    r"""Answers in a solution: "final answer is $..$. I hope", else every closed box, else "answer is", an output, a
    number."""
    if "final answer is $" in text and "$. I hope" in text:
        found = [text.split("final answer is $", 1)[1].split("$. I hope", 1)[0]]
    elif "boxed" in text:
        found = [box for piece in text.split("boxed{")[1:] if (box := _closed(piece)) is not None]
    elif "he answer is" in text:
        found = [text.rpartition("he answer is")[2]]
    elif "```output" in text:
        found = [text.rpartition("```output")[2].partition("```")[0]]
    else:
        found = _NUMBER.findall(text.replace(",", ""))[-1:]
    return [normal(answer.strip().split("\n")[0].lstrip(":").rstrip("./")) for answer in found]


def solved_once(text: str) -> list[str]:
    """The last of the answers in a solution."""
    return solved(text)[-1:]


def solved_list(text: str) -> list[str]:
    """All answers in a solution of MATH; one that reads "a and b" is two.

    NOTE: the original splits at commas as well where the question says "separated by commas"; `same_list` does for all.
    """
    return [part.strip() for answer in solved(text) for part in re.split(r"\\text\{\s*and\s*\}", answer)]


def last_number(text: str) -> list[str]:
    """GSM8K after shots."""
    return _FEW_SHOT_NUMBER.findall(text.partition("Q: ")[0])[-1:] or [INVALID]


def solved_list_once(text: str) -> list[str]:
    """MATH after shots."""
    return solved_list(text.partition("Problem:")[0])


def hoped(text: str) -> list[str]:
    """OCW after shots."""
    found = re.search(r"final answer is (.*)\. I hope it is correct\.", text.partition("Problem:")[0])
    return [found[1] if found else INVALID]


def chosen(text: str) -> list[str]:
    """SAT and MMLU after shots: the first letter behind "the final answer is"."""
    found = re.search(r"the final answer is \(?([abcd])\)?", text.partition("Problem:")[0].lower())
    return [found[1].upper() if found else INVALID]


def chosen_in_box(text: str) -> list[str]:
    """A choice in a solution to a question alone, for which nothing was published: the box's own letter."""
    found = re.match(r"\(?([A-G])\b", "".join(solved_once(text)))
    return [found[1] if found else INVALID]


def cmath_number(text: str) -> list[str]:
    """CMATH after shots: the last number in the line of the first 答案是."""
    text = text.partition("问题：")[0]
    if "答案是" not in text:
        return solved_once(text)
    return _FEW_SHOT_NUMBER.findall(text.split("答案是", 1)[1].strip().split("\n")[0])[-1:] or [INVALID]


def claimed(text: str) -> list[str]:
    """Gaokao after shots: the line of the first 答案是."""
    text = text.partition("问题 ")[0]
    return [text.split("答案是", 1)[1].strip().split("\n")[0].strip().strip("$")] if "答案是" in text else [INVALID]


def _closed(piece: str) -> str | None:
    """What stands before the brace that closes a box; None where there is none."""
    depth = 1
    for place, letter in enumerate(piece):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return piece[:place]
    return None
