"""Inputs under the names that other models at Replicate use: one that means an input of ours counts as that, and one
that is not offered is refused unless its value changes nothing."""

import json
from collections.abc import Mapping
from typing import Any

from deepseek_math.errors import ServiceError
from deepseek_math.inputs import BY_NAME, OTHER_NAMES


def resolved(values: Mapping[str, Any]) -> dict[str, Any]:
    """Checked `values` of all inputs, with what came under another name in its place.

    Raises ServiceError where two names of one input disagree, as far as it can be seen: Cog fills in defaults, so a
    value that equals the default can't be told from none.
    """
    meant = dict(values)
    given: dict[str, tuple[str, Any]] = {}  # by input: the name that it came under, and its value
    for field in OTHER_NAMES:
        value = values[field.name]
        if value is None:
            continue
        name = field.synonym_of
        if name is None:
            _require_neutral(field.name, value, field.neutral)
            continue
        if values[name] != BY_NAME[name].default:
            given.setdefault(name, (name, values[name]))
        first, before = given.setdefault(name, (field.name, value))
        if before != value:
            raise ServiceError(
                "names_disagree",
                f"{first} is {before} and {field.name} is {value}: both are names of {name}. Send one of them.",
            )
        meant[name] = value
    return meant


def over(options: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A request's `own` inputs, and of the `options` those that it does not set, under any name."""
    taken = {_meant(name) for name in own}
    return {name: value for name, value in options.items() if _meant(name) not in taken} | dict(own)


def _meant(name: str) -> str:
    return BY_NAME[name].synonym_of or name


def listed(text: str) -> list[Any]:
    """Stop strings in one text: a JSON list, or separated by commas; none where it is empty."""
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except ValueError:
            pass
    return text.split(",") if text else []


def _require_neutral(name: str, value: Any, neutral: tuple[Any, ...]) -> None:
    if value in neutral:
        return
    advice = f"Leave it out, or send {neutral[0]}, which changes nothing."
    if name == "prompt_template":
        advice += " To write the whole text yourself, send it as prompt with mode raw."
    raise ServiceError("input_not_offered", f"{name} is {value!r}, and this service does not offer it. {advice}")
