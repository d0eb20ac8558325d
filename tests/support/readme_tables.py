"""The tables in README.md that are made from the code: `python -m tests.support.readme_tables` writes them in place."""

import json
import re

from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.errors import CODES
from deepseek_math.inputs import INPUTS, InputField
from deepseek_math.paths import ROOT

README = ROOT / "README.md"


def inputs() -> str:
    rows = ["| input | type | default | limits | what it does |", "|---|---|---|---|---|"]
    for field in INPUTS:
        default = "required" if field.required else f"`{json.dumps(field.default)}`"
        rows.append(f"| `{field.name}` | {_type(field)} | {default} | {_limits(field)} | {field.description} |")
    return "\n".join(rows)


def _type(field: InputField) -> str:
    names = {"str": "string", "int": "integer", "float": "number"}
    names |= {"list[str]": "list of strings", "list[dict]": "list of objects"}
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
    return "\n".join(
        ["| code | meaning |", "|---|---|", *(f"| `{code}` | {meaning} |" for code, meaning in CODES.items())]
    )


def checkpoints() -> str:
    rows = ["| `CHECKPOINT` | download | context | from | licence |", "|---|---|---|---|---|"]
    for row in CHECKPOINTS.values():
        rows.append(f"| `{row.name}` | {row.size} | {row.context} tokens | {row.origin} | {row.licence} |")
    return "\n".join(rows)


TABLES = {"inputs": inputs, "errors": errors, "checkpoints": checkpoints}


def filled(text: str) -> str:
    """`text` with every table between its marks made anew."""
    for name, table in TABLES.items():
        found = re.search(f"(<!-- {name} -->\n).*?(\n<!-- end -->)", text, re.DOTALL)
        assert found, f"README.md has no place for the {name} table"
        text = text.replace(found[0], found[1] + table() + found[2])
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
