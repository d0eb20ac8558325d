"""Texts made from public reports of chat pages that show mathematics wrongly, and what is right."""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "page"


@dataclass(frozen=True, slots=True)
class MathText:
    """One text: the formulas to be set in order, what must stay text, and maybe the pieces in which it arrives."""

    name: str
    kind: str
    source: str  # the report, as repository#number
    text: str
    formulas: tuple[str, ...]
    plain: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()


def _read(name: str) -> list[dict[str, str | list[str]]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


def _text(row: dict[str, str | list[str]]) -> MathText:
    return MathText(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})  # type: ignore[arg-type]


TEXTS = [_text(row) for row in _read("texts.jsonl")]
REPORTS = [(str(row["text"]), list(row["formulas"])) for row in _read("reports.jsonl")]


def normal(text: str) -> str:
    """With single blanks."""
    return " ".join(text.split())
