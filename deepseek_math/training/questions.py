"""Questions with their answers, as JSON lines: what reinforcement learning reads, for the family and the real thing.

    {"question": "What is 12 + 30?", "answer": "42"}

`python -m deepseek_math.training.questions FILE --count 8000` writes such a file of the family's training problems.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from deepseek_math.errors import ServiceError
from deepseek_math.training.faults import plainly
from deepseek_math.training.generator import distinct
from deepseek_math.training.problem import Problem, latex

Row = dict[str, str]


def write(problems: Iterable[Problem], path: Path) -> None:
    lines = (
        json.dumps({"question": one.question, "answer": latex(one.answer)}, ensure_ascii=False) for one in problems
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read(path: Path) -> list[Row]:
    """Every line of `path`. Raises ServiceError with the number of the first line that is none."""
    rows: list[Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            if not all(isinstance(row[name], str) and row[name].strip() for name in ("question", "answer")):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise ServiceError(
                "setting_invalid",
                f'Line {number} of {path} is not a JSON object with two texts, "question" and "answer".',
            ) from None
        rows.append({"question": row["question"], "answer": row["answer"]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--held-out", action="store_true", help="from the held-out side of the split")
    arguments = parser.parse_args()
    if arguments.count < 1:
        parser.error(f"--count {arguments.count}: 1 or more")
    write(distinct(arguments.seed, arguments.count, held=arguments.held_out), arguments.file)


if __name__ == "__main__":
    with plainly():
        main()
