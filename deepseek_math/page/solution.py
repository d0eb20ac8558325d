"""A solution as the page shows it: blocks that are replaced as its text grows, then its answer and metrics."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from deepseek_math.doubts import DOUBTS
from deepseek_math.page.markdown import Block, blocks
from deepseek_math.page.setting import set_formula

_WORDS = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}|[\u3400-\u9fff]")
ELSEWHERE = (
    "answer",
    "answer_source",
    "doubts",
    "vote",
    "votes",
    "correct",
)  # metrics that the page shows by themselves


@dataclass(slots=True)
class Solution:
    """A text that grows. `change` tells what the page has to replace since the last call."""

    text: str = ""
    _shown: list[Block] = field(default_factory=list)
    _sent: int = 0  # characters

    def add(self, piece: str) -> None:
        self.text += piece

    def change(self, finished: bool = False) -> dict[str, Any]:
        now = blocks(self.text, finished)
        kept = 0
        while kept < min(len(now), len(self._shown)) and now[kept] == self._shown[kept]:
            kept += 1
        piece, self._sent, self._shown = self.text[self._sent :], len(self.text), now
        return {"event": "blocks", "text": piece, "kept": kept, "blocks": [asdict(block) for block in now[kept:]]}


def question(text: str) -> dict[str, Any]:
    return {"event": "question", "html": "\n".join(block.html for block in blocks(text))}


def vote(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tally of a vote, running or over."""
    return {
        "event": "vote",
        "samples": state["samples"],
        "finished": state["finished"],
        "votes": [_group(group) for group in state["votes"]],
    }


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    return {"html": answer_html(str(group["answer"])), "answer": group["answer"], "count": group["count"]}


def ending(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows beside the text of a prediction that came to its end."""
    answer = metrics.get("answer")
    return {
        "event": "done",
        "answer": {"html": answer_html(answer), "text": answer} if answer else None,
        "doubts": [_doubt(name) for name in metrics.get("doubts", ())],
        "metrics": dict(metrics),
        "rows": [[name, value] for name, value in sorted(metrics.items()) if name not in ELSEWHERE],
    }


def _doubt(name: str) -> dict[str, str]:
    doubt = DOUBTS.get(name)
    return {"short": doubt.short, "advice": doubt.advice} if doubt else {"short": name, "advice": ""}


def answer_html(answer: str) -> str:
    """An answer as a person would write it down, set as a formula unless it is words."""
    mathml = None if _WORDS.search(re.sub(r"\\[A-Za-z]+", "", answer)) else set_formula(answer, True)
    return mathml or f"<span>{escape(answer)}</span>"
