"""The inputs of a prediction as they are typed: `name=value`, several of them in one text or one each."""

import contextlib
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_math.inputs import BY_NAME, OWN_INPUTS
from deepseek_math.request import Request

READ_BY_MAKE = ("PROMPT", "SAMPLES")  # from the environment
EXAMPLE = (
    'Write it so: dsm predict "What is 12 + 30?" seed=1, or make predict PROMPT="What is 12 + 30?" INPUTS="seed=1".'
)


class InputsMistyped(Exception):
    """Words that are no inputs; the text says how they are written."""


def words(text: str) -> list[str]:
    """Split at blanks, but for a value in quotes and one that is a JSON list or object, which keeps its own.

    Backslashes and dollars stay: mathematics is full of both. Quotes inside a word stay, too. Raises InputsMistyped.
    """
    found = []
    rest = text.strip()
    while rest:
        name = re.match(r"[^\s='\"]*=|", rest)
        assert name
        value, rest = _value(rest[name.end() :])
        found.append(name[0] + value)
    return found


def _value(text: str) -> tuple[str, str]:
    """The value that `text` begins with, and what comes after it."""
    if text[:1] in ("'", '"'):
        quoted = re.match(rf"{text[0]}(.*?){text[0]}(?=\s|$)", text, re.DOTALL)
        if not quoted:
            raise InputsMistyped(f"a quote is not closed in {text!r}")
        return quoted[1], text[quoted.end() :].lstrip()
    if text[:1] in ("[", "{"):
        with contextlib.suppress(json.JSONDecodeError):
            _, end = json.JSONDecoder().raw_decode(text)
            if not text[end : end + 1].strip():
                return text[:end], text[end:].lstrip()
    word = re.match(r"\S*", text)
    assert word
    return word[0], text[word.end() :].lstrip()


def inputs_of(prompt: str, settings: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The inputs that `prompt` and the `name=value` pairs of `settings` mean, checked as the service will.

    Raises InputsMistyped, and ServiceError for a value that is refused.
    """
    if re.match(rf"(?:{'|'.join(BY_NAME)})=", prompt, re.IGNORECASE):
        raise InputsMistyped(f"The question begins with {prompt.partition('=')[0]}=. {EXAMPLE}")
    inputs = {"prompt": prompt, **settings_of(settings, environment)}
    Request.checked(**inputs)
    return inputs


def settings_of(settings: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The inputs beside the prompt that `name=value` pairs mean. Raises InputsMistyped.

    A value that is JSON counts as that, any other and that of a text input as text.
    """
    inputs: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputsMistyped(f"{setting!r} is not of the form name=value. {EXAMPLE}")
        if name not in BY_NAME:  # Cog would drop it and say nothing
            raise InputsMistyped(_unknown(name))
        if name in inputs or name == "prompt":
            raise InputsMistyped(f"{name} is given twice.")
        inputs[name] = _typed(name, value)
    _require_no_input_in(environment)
    return inputs


def _typed(name: str, value: str) -> Any:
    kind = BY_NAME[name].kind
    if kind == "str":
        return value  # even where it looks like a number
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        parsed = value
    if isinstance(parsed, list):
        return parsed
    if kind == "list[str]":
        return [value]
    return value if kind.startswith("str | ") else parsed


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), BY_NAME, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"No input is called {name}. {hint}There are {', '.join(field.name for field in OWN_INPUTS)}."


def _require_no_input_in(environment: Mapping[str, str]) -> None:
    """`TEMPERATURE=0.7 make predict` would change nothing, in silence."""
    for name in environment:
        if name.lower() in BY_NAME and name not in READ_BY_MAKE:
            raise InputsMistyped(
                f"{name} is set in the environment, where it means nothing. Unset it, and give the input behind the "
                f"question: {name.lower()}=... {EXAMPLE}"
            )
