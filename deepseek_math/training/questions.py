"""Questions with their answers, as JSON lines: what GRPO trains on.

    {"question": "What is 12 + 30?", "answer": "42"}

The command writes such a file with problems of the tiny family's field.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from deepseek_math.errors import ServiceError
from deepseek_math.training.problem import Problem, latex

Row = dict[str, str]


def write(problems: Iterable[Problem], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for problem in problems:
            row = {"question": problem.question, "answer": latex(problem.answer)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read(path: Path) -> list[Row]:
    """Every line of `path`. Raises ServiceError with the number of the first line that is not a question."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_row(line, f"Line {number} of {path}") for number, line in enumerate(lines, 1)]


def _row(line: str, where: str) -> Row:
    try:
        found = json.loads(line)
        row = {"question": found["question"], "answer": found["answer"]}
    except (ValueError, KeyError, TypeError):
        row = {}
    if not row or not all(isinstance(text, str) and text.strip() for text in row.values()):
        raise ServiceError(
            "setting_invalid", f'{where} is not a JSON object with two strings, "question" and "answer".'
        )
    return row
