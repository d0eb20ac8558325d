"""The tables in docs/ that are made from the code: `python -m tests.support.doc_tables` writes them in place."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.door.fields import INPUTS as DOOR_INPUTS
from deepseek_math.door.fields import NEUTRAL, READ, RENAMED, WITHOUT_EFFECT
from deepseek_math.doubts import DOUBTS
from deepseek_math.errors import CODES
from deepseek_math.inputs import INPUTS, InputField
from deepseek_math.metrics import METRICS
from deepseek_math.paths import ROOT
from deepseek_math.settings import VARIABLES

DOCS = ROOT / "docs"


def inputs() -> str:
    rows = []
    for field in INPUTS:
        default = "required" if field.required else f"`{json.dumps(field.default)}`"
        rows.append((f"`{field.name}`", _type(field), default, _limits(field), field.description))
    return _table(("input", "type", "default", "limits", "what it does"), rows)


def _type(field: InputField) -> str:
    names = {"str": "string", "int": "integer", "float": "number", "bool": "true or false"}
    names |= {"list[str]": "list of strings", "list[dict]": "list of objects"}
    names["str | list[str]"] = "string or list of strings"
    return f"{names[field.kind]}, may be left out" if field.optional else names[field.kind]


def _limits(field: InputField) -> str:
    if field.choices:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    if field.min_length:
        return f"at least {field.min_length} character"
    if field.max_items:
        return f"at most {field.max_items}"
    return field.limits


def errors() -> str:
    return _table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in CODES.items()))


def metrics() -> str:
    return _table(("metric", "meaning"), ((f"`{name}`", meaning) for name, meaning in METRICS.items()))


def settings() -> str:
    return _table(("variable", "meaning"), ((f"`{name}`", meaning) for name, meaning in VARIABLES.items()))


def doubts() -> str:
    rows = ((f"`{name}`", doubt.short, doubt.meaning, doubt.advice) for name, doubt in DOUBTS.items())
    return _table(("sign", "in the terminal", "what it means", "what to do"), rows)


def checkpoints() -> str:
    rows = [
        (f"`{row.name}`", row.size, f"{row.context} tokens", row.origin, row.licence) for row in CHECKPOINTS.values()
    ]
    return _table(("`CHECKPOINT`", "download", "context", "from", "licence"), rows)


def fields() -> str:
    """Of the door: fields that have the same values are one row."""
    rows = [
        (_names(READ), "honoured, as far as this page says"),
        (_names(sorted(DOOR_INPUTS)), "honoured: [inputs](inputs.md) of these names"),
        *((_names(names), f"honoured: `{meant}`") for meant, names in _grouped(RENAMED).items()),
        (_names(WITHOUT_EFFECT), "accepted with any value: they change no completion"),
    ]
    shown = {name: ", ".join(f"`{json.dumps(value)}`" for value in values) for name, values in NEUTRAL.items()}
    rows += [(_names(names), f"accepted as {values or 'null alone'}") for values, names in _grouped(shown).items()]
    return _table(("fields", "what is done with them"), rows)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _grouped(values: Mapping[str, str]) -> dict[str, list[str]]:
    """The names that have each value."""
    found: dict[str, list[str]] = {}
    for name, value in values.items():
        found.setdefault(value, []).append(name)
    return found


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([_row(head), "|---" * len(head) + "|", *map(_row, rows)])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


TABLES: dict[str, Callable[[], str]] = {  # by page, each between its name's mark and the end's
    "inputs": inputs,
    "errors": errors,
    "http-api": metrics,
    "settings": settings,
    "trust": doubts,
    "checkpoints": checkpoints,
    "openai": fields,
}


def page(name: str) -> Path:
    return DOCS / f"{name}.md"


def filled(name: str, text: str) -> str:
    """The page's `text` with the table between its marks made anew."""
    table = TABLES[name]
    marks = f"(<!-- {table.__name__} -->\n).*?(<!-- end -->)"
    found = re.search(marks, text, re.DOTALL)
    assert found, f"{name}.md has no marks for the {table.__name__} table"
    return text.replace(found[0], f"{found[1]}{table()}\n{found[2]}")


if __name__ == "__main__":
    for name in TABLES:
        page(name).write_text(filled(name, page(name).read_text(encoding="utf-8")), encoding="utf-8")
