"""What the published grader takes for a completion's answers, one function a form of completion.

Each takes the question and the completion's text. Answers to a question alone are in normal form, answers after shots
as they stand. Without a box or a phrase the last number counts.

Source: evaluation/data_processing/answer_extraction.py.
"""

import re

from deepseek_math.evaluation.published.normal_form import normal

INVALID = "[invalid]"  # what stands where no answer was found

_NUMBER = re.compile(r"-?\d*\.?\d+")
_NUMBER_AFTER_SHOTS = re.compile(r"-?\d+\.?\d*")
_AND = re.compile(r"\\text\{\s*and\s*\}")


def solved(question: str, text: str) -> list[str]:
    r"""Answers in a solution: "final answer is $..$. I hope", else every closed box, else "answer is", an output, a
    number."""
    found: list[str]
    output = text.rpartition("```output")[2].partition("```")[0].strip() if "```output" in text else ""
    if "final answer is $" in text and "$. I hope" in text:
        found = [text.split("final answer is $", 1)[1].split("$. I hope", 1)[0]]
    elif "boxed" in text:
        found = boxes(text)
    elif "he answer is" in text:
        found = [text.rpartition("he answer is")[2]]
    elif output:
        found = [output]
    else:
        found = _NUMBER.findall(text.replace(",", ""))[-1:]
    return [normal(answer.strip().split("\n")[0].lstrip(":").rstrip(".").rstrip("/")) for answer in found]


def boxes(text: str) -> list[str]:
    """What every closed `boxed{...}` holds, in the order that they open."""
    contents = []
    for piece in text.split("boxed{")[1:]:
        end = _closing_brace(piece)
        if end is not None:
            contents.append(piece[:end])
    return contents


def _closing_brace(piece: str) -> int | None:
    """Where the brace is that closes a box whose content `piece` begins with; None where there is none."""
    depth = 1
    for position, character in enumerate(piece):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        if depth == 0:
            return position
    return None


def solved_once(question: str, text: str) -> list[str]:
    """The last of the answers in a solution."""
    return solved(question, text)[-1:] or [""]


def solved_list(question: str, text: str) -> list[str]:
    """All answers in a solution of MATH: split at commas where the question asks for that, else at "and"."""
    answers: list[str] = []
    for answer in solved(question, text):
        if "separated by commas" in question and not set(answer) & set("()[]"):
            answers += answer.split(",")
        else:
            answers += _AND.split(answer)
    return [answer.strip() for answer in answers]


def last_number(question: str, text: str) -> list[str]:
    """GSM8K after shots."""
    return _NUMBER_AFTER_SHOTS.findall(text.partition("Q: ")[0])[-1:] or [INVALID]


def solved_list_after_shots(question: str, text: str) -> list[str]:
    """MATH after shots."""
    return solved_list(question, text.partition("Problem:")[0])


def hoped(question: str, text: str) -> list[str]:
    """OCW after shots."""
    found = re.search(r"final answer is (.*)\. I hope it is correct.", text.partition("Problem:")[0])
    return [found[1] if found else INVALID]


def chosen(question: str, text: str) -> list[str]:
    """SAT and MMLU after shots: the first letter after "the final answer is"."""
    found = re.search(r"the final answer is \(?([abcd])\)?", text.partition("Problem:")[0].lower())
    return [found[1].upper() if found else INVALID]


def chosen_in_box(question: str, text: str) -> list[str]:
    """A choice in a solution to a question alone, for which nothing was published: the box's own letter."""
    found = re.match(r"\(?([A-G])\b", "".join(solved_once(question, text)))
    return [found[1] if found else INVALID]


def cmath_number(question: str, text: str) -> list[str]:
    """CMATH after shots: the last number in the line of the first 答案是."""
    text = text.partition("问题：")[0]
    if "答案是" not in text:
        return solved_once(question, text)
    return _NUMBER_AFTER_SHOTS.findall(_claim(text))[-1:] or [INVALID]


def claimed(question: str, text: str) -> list[str]:
    """Gaokao MathCloze after shots: the line of the first 答案是."""
    text = text.partition("问题 ")[0]
    return [_claim(text).strip().strip("$") if "答案是" in text else INVALID]


def claimed_letters(question: str, text: str) -> list[str]:
    """Gaokao MathQA after shots: the line of the first 答案是."""
    text = text.partition("问题 ")[0]
    return [_claim(text) if "答案是" in text else ""]


def _claim(text: str) -> str:
    return text.split("答案是", 1)[1].strip().split("\n")[0]
