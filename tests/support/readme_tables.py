"""The tables in README.md that are made from the code: `python -m tests.support.readme_tables` writes them in place."""

import json
import re
from typing import Any

from deepseek_math.checkpoints import CHECKPOINTS
from deepseek_math.cog import schema
from deepseek_math.errors import CODES
from deepseek_math.paths import ROOT

README = ROOT / "README.md"


def inputs() -> str:
    document = schema.openapi((README.parent / "replicate/predict.py").read_text())
    components = document["components"]["schemas"]
    properties = sorted(components["Input"]["properties"].items(), key=lambda item: item[1]["x-order"])
    rows = ["| input | type | default | limits | what it does |", "|---|---|---|---|---|"]
    for name, field in properties:
        choices = components[name]["enum"] if "allOf" in field else None
        default = "required" if "default" not in field else f"`{json.dumps(field['default'])}`"
        rows.append(
            f"| `{name}` | {_type(field, choices)} | {default} | {_limits(field, choices)} | {field['description']} |"
        )
    return "\n".join(rows)


def _type(field: dict[str, Any], choices: list[str] | None) -> str:
    if choices:
        return "string"
    kind = f"list of {field['items']['type']}s" if field["type"] == "array" else field["type"]
    return f"{kind}, may be left out" if field.get("nullable") else str(kind)


def _limits(field: dict[str, Any], choices: list[str] | None) -> str:
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if "minLength" in field:
        return f"at least {field['minLength']} character"
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"{low} or more" if low is not None else ""


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
