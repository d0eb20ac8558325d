"""What came of a file's rows, in words and as one record."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from deepseek_math.jobs.journal import Line


@dataclass(slots=True)
class Tally:
    """Counts rows as they are written."""

    rows: int = 0
    with_answer: int = 0
    correct: int = 0
    judged: int = 0  # rows that had an expected answer
    tokens: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by code
    first_failed: str = ""
    ends: Counter[str] = field(default_factory=Counter)  # by finish reason

    def add(self, line: Line) -> None:
        self.rows += 1
        self.with_answer += line["answer"] is not None
        self.correct += line["correct"] is True
        self.judged += line["correct"] is not None
        self.tokens += line["completion_tokens"] or 0
        if line["error_code"]:
            self.failed[line["error_code"]] += 1
            self.first_failed = self.first_failed or f"row {line['row']}: {line['error']}"
        else:
            self.ends[line["finish_reason"]] += 1

    def text(self) -> str:
        completed = self.rows - self.failed.total()
        lines = [
            f"  rows       {self.rows}, with a completion {completed}, with an answer {self.with_answer}",
            f"  ended      {_listed(self.ends)}",
        ]
        if self.judged:
            lines.append(f"  correct    {self.correct} of {self.judged}")
        if self.failed:
            lines.append(f"  failed     {self.failed.total()}: {_listed(self.failed)}; {self.first_failed}")
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "with_answer": self.with_answer,
            "correct": self.correct if self.judged else None,
            "failed": dict(self.failed),
            "finish_reasons": dict(self.ends),
            "completion_tokens": self.tokens,
        }


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"
