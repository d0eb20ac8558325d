"""predict.py's method `predict`, written from the table of inputs in the one form that Cog's generator reads right.

Cog's generator (0.22.0) reads the source without running it, and loses in silence much of what Python means: joined or
escaped strings, constants, computed numbers, literals in parentheses, comments inside a value. So the method is not
written by hand: a test holds predict.py against this text, and `require_faithful` refuses values that Cog would change.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from deepseek_math.inputs import CONCURRENCY, INPUTS, MAX_SEED, REQUIRED, InputField
from deepseek_math.paths import PREDICTOR

WIDTH = 120  # columns of a line, as ruff formats it
START = "    @streaming\n"  # the written part is from here to the end of predict.py
COMPONENTS = {"Input", "Output", "Status"}  # names of Cog's own: an enumeration of that name would replace them

VALUES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "Secret": (str,),
    "int": (int,),
    "float": (float,),
    "bool": (bool,),
    "dict": (dict,),
    "list[str]": (list,),
    "list[int]": (list,),
    "list[float]": (list,),
    "list[dict]": (list,),
}


class UnfaithfulInput(ValueError):
    """Cog's generator would drop or change something of this input."""


def predict_method(inputs: Sequence[InputField] = INPUTS) -> str:
    """The lines of the method, from its decorators to its end."""
    parameters = "".join(parameter(field) for field in inputs)
    passed = "".join(f'            "{field.name}": {field.name},\n' for field in inputs)
    return (
        f"{START}    @concurrent(max={CONCURRENCY})\n"
        f"    async def predict(\n        self,\n{parameters}    ) -> ConcatenateIterator[str]:\n"
        '        """Streams the completion."""\n'
        f"        inputs = {{\n{passed}        }}\n"
        "        return live.stream(self.service.complete(inputs, self.record_metric))\n"
    )


def parameter(field: InputField) -> str:
    """One input, laid out as ruff does: on one line, else all arguments on the next, else each on its own."""
    require_faithful(field)
    head = f"        {field.name}: {field.type} = Input("
    arguments = _arguments(field)
    joined = ", ".join(arguments)
    if len(head) + len(joined) + len("),") <= WIDTH:
        return f"{head}{joined}),\n"
    if len(" " * 12 + joined) <= WIDTH:
        return f"{head}\n            {joined}\n        ),\n"
    lines = "".join(f"            {argument},\n" for argument in arguments)
    return f"{head}\n{lines}        ),\n"


def update() -> bool:
    """Writes the method into predict.py; returns whether that changed it."""
    text = PREDICTOR.read_text(encoding="utf-8")
    written = text[: text.index(START)] + predict_method()
    PREDICTOR.write_text(written, encoding="utf-8")
    return written != text


def require_faithful(field: InputField) -> None:
    """Raises UnfaithfulInput, with the input and the reason."""
    for holds, reason in _conditions(field):
        if not holds:
            raise UnfaithfulInput(f"input {field.name}: {reason}")


def _arguments(field: InputField) -> list[str]:
    values = {
        "description": field.description,
        "default": field.default,
        "ge": field.minimum,
        "le": field.maximum,
        "min_length": field.min_length,
        "choices": list(field.choices) or None,
        "deprecated": field.deprecated or None,
    }
    arguments = []
    for name, value in values.items():
        absent = REQUIRED if name == "default" else None
        if value is not absent:
            arguments.append(f"{name}={_literal(value)}")
    return arguments


def _literal(value: Any) -> str:
    """A Python literal, strings in double quotes."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return repr(value)


def _conditions(field: InputField) -> list[tuple[bool, str]]:
    """What must hold of an input so that Cog's schema says the same as Python, each with the reason if it does not."""
    default = field.default
    members = field.kind.split(" | ")
    numbers = [bound for bound in (field.minimum, field.maximum) if bound is not None]
    known = all(member in VALUES for member in members)
    conditions = [
        (field.name.isascii() and field.name.isidentifier(), "Cog cuts the title of a name that is not ASCII"),
        (known, f"{field.type} is not one of the types that Cog's generator knows: {', '.join(VALUES)}"),
        (_plain(field.description), "Cog does not decode escapes: no quote, backslash or line break in a description"),
        (default is not None or field.optional, "default None without | None: Cog calls the input required"),
        (not (field.optional and field.required), "an input that may be None needs default=None written out"),
        (not numbers or bool({"int", "float"} & set(members)), "a bound on a type that is not a number means nothing"),
        (field.min_length is None or field.min_length >= 0, "Cog turns a negative length into a huge one"),
        (field.min_length is None or field.kind == "str", "min_length counts characters, so it needs a str"),
        (not field.choices or field.kind == "str", "choices are for a str: Cog would ask for one string"),
        (not field.choices or field.name not in COMPONENTS, "choices would replace a component of Cog's own"),
        (all(_plain(choice) for choice in field.choices), "Cog does not decode escapes in choices"),
        (all(abs(number) <= MAX_SEED for number in numbers), "a bound over 2^53 - 1 is rounded"),
    ]
    if known and not field.required and default is not None:
        conditions += _default_conditions(field, members)
    return conditions


def _default_conditions(field: InputField, members: list[str]) -> list[tuple[bool, str]]:
    default = field.default
    allowed = tuple(kind for member in members for kind in VALUES[member])
    fits = type(default) in allowed
    conditions = [
        (fits, f"the default {default!r} is not of type {field.type}"),
        (not isinstance(default, str) or _plain(default), "Cog does not decode escapes in a default"),
        (json.loads(json.dumps(default)) == default, "the default is not a JSON value"),
        (not field.choices or default in field.choices, f"the default {default!r} is not one of the choices"),
    ]
    if fits and type(default) in (int, float):
        conditions += [
            (abs(default) <= MAX_SEED, "a default over 2^53 - 1 is rounded"),
            (field.minimum is None or default >= field.minimum, f"the default {default!r} is below the minimum"),
            (field.maximum is None or default <= field.maximum, f"the default {default!r} is above the maximum"),
        ]
    if fits and isinstance(default, str) and field.min_length is not None:
        conditions.append((len(default) >= field.min_length, "the default is shorter than min_length"))
    return conditions


def _plain(text: str) -> bool:
    return re.search(r'["\\\x00-\x1f\x7f]', text) is None
