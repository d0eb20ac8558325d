"""One request, checked once at the edge: after `Request.checked` nothing downstream doubts an input again.

Types, defaults and bounds are those of the table of inputs. Here are the rules that join several inputs.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from deepseek_math import other_names
from deepseek_math.answers.extraction import claimed, extract
from deepseek_math.errors import ServiceError
from deepseek_math.few_shot import Example
from deepseek_math.garbled import as_meant, one_line
from deepseek_math.inputs import BY_NAME, INPUTS, MAX_SEED, TEXT_CHARACTERS, VOTE_TEMPERATURE, InputField
from deepseek_math.sampling import Sampling

DRAWN_SEEDS = 2**31  # seeds that the service draws itself are short enough to type

Mode = Literal["auto", "chat", "cot", "fewshot", "raw", "tool"]
ToolLoop = Literal["service", "published"]
Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for."""

    prompt: str
    mode: Mode
    system_prompt: str
    messages: tuple[Turn, ...]
    sampling: Sampling
    expected_answer: str
    samples: int
    stop_when_sure: float
    max_tool_rounds: int
    tool_loop: ToolLoop
    examples: tuple[Example, ...]
    return_samples: bool

    @classmethod
    def checked(cls, **inputs: Any) -> "Request":
        """Builds a request from raw inputs, or raises ServiceError with the input's name and its limits.

        Whole numbers may come as floats: coglet passes JSON's `5.0` for an integer on as it is.
        """
        unknown = set(inputs) - set(BY_NAME)
        if unknown or "prompt" not in inputs:
            raise TypeError(f"unknown inputs {sorted(unknown)}, or no prompt")
        values = {field.name: _checked(field, inputs.get(field.name, field.default)) for field in INPUTS}
        values = other_names.resolved(values)
        samples = values["samples"]
        return cls(
            prompt=values["prompt"],
            mode=values["mode"],
            system_prompt=values["system_prompt"],
            messages=_turns(values["messages"]),
            sampling=Sampling(
                max_new_tokens=values["max_new_tokens"],
                temperature=_temperature(values["temperature"], samples),
                top_p=values["top_p"],
                top_k=values["top_k"],
                stop=_stop_strings(values["stop"]),
                seed=_seed(values["seed"], samples),
                logprobs=values["logprobs"],
            ),
            expected_answer=one_line("expected_answer", values["expected_answer"]),
            samples=samples,
            stop_when_sure=_sure(values["stop_when_sure"], samples, values["return_samples"]),
            max_tool_rounds=values["max_tool_rounds"],
            tool_loop=_tool_loop(values["tool_loop"], values["mode"]),
            examples=_examples(values["examples"], values["mode"]),
            return_samples=values["return_samples"],
        )


def _checked(field: InputField, value: Any) -> Any:
    """The value as its type, within the field's own limits."""
    if value is None and field.optional:
        return None
    if field.choices:
        return _choice(field, value)
    read: Callable[[InputField, Any], Any] = _READERS.get(field.kind, _list)
    return read(field, value)


def _whole_number(field: InputField, value: Any) -> int:
    if not _is_number(value) or value != int(value) or not _within(field, value):
        raise ServiceError(
            field.error_code, f"{field.name} is {_shown(value)}. Use {_limits('a whole number', field)}."
        )
    return int(value)


def _number(field: InputField, value: Any) -> float:
    if not _is_number(value) or not _within(field, value):
        raise ServiceError(field.error_code, f"{field.name} is {_shown(value)}. Use {_limits('a number', field)}.")
    return float(value)


def _limits(kind: str, field: InputField) -> str:
    return f"{kind} {field.limits}" if field.limits else kind


def _shown(value: Any) -> str:
    """NOTE: Python does not write whole numbers of over 4,300 digits."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of {value.bit_length()} bits"
    return repr(value)


def _within(field: InputField, value: float) -> bool:
    if field.minimum is not None and value < field.minimum:
        return False
    if field.above_minimum and value == field.minimum:
        return False
    return field.highest is None or value <= field.highest


def _is_number(value: object) -> bool:
    """Finite, and not a bool, which Python counts as an integer."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and isfinite(value))


def _flag(field: InputField, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ServiceError(field.error_code, f"{field.name} is {value!r}. Use true or false.")
    return value


def _choice(field: InputField, value: Any) -> str:
    if value not in field.choices:
        raise ServiceError(field.error_code, f"{field.name} is {value!r}. Use one of {', '.join(field.choices)}.")
    return str(value)


def _text_input(field: InputField, value: Any) -> str:
    text = as_meant(field.name, _text(field.name, value))
    if field.min_length and not text.strip():
        raise ServiceError(field.error_code, f"The {field.name} has no visible character. Send a question or a text.")
    return text


def _text(name: str, value: Any) -> str:
    """Neither too long nor half a character: JSON can hold a lone surrogate, but a UTF-8 stream cannot."""
    if not isinstance(value, str):
        raise ServiceError("text_invalid", f"{name} is {type(value).__name__}, not a string.")
    if len(value) > TEXT_CHARACTERS:
        raise ServiceError("text_too_long", f"{name} has {len(value)} characters. Send at most {TEXT_CHARACTERS}.")
    for position, character in enumerate(value, 1):
        if "\ud800" <= character <= "\udfff":
            raise ServiceError(
                "text_invalid", f"{name} holds half a UTF-16 pair at character {position}. Send whole characters."
            )
    return value


def _list(field: InputField, value: Any) -> list[Any]:
    """A list within its length; an empty input may also come as null."""
    if value is None:
        return []
    if isinstance(value, str) and field.kind == "str | list[str]":
        value = other_names.listed(value)
    member = f"objects with the keys {_named(field.keys)}" if field.keys else "strings"
    if not isinstance(value, list):
        raise ServiceError(field.error_code, f"{field.name} is {type(value).__name__}, not a list of {member}.")
    if field.max_items is not None and len(value) > field.max_items:
        raise ServiceError(
            field.error_code, f"{field.name} holds {len(value)} {member}. Send at most {field.max_items}."
        )
    return value


_READERS: dict[str, Callable[[InputField, Any], Any]] = {  # by a field's kind; all others are lists
    "int": _whole_number,
    "float": _number,
    "bool": _flag,
    "str": _text_input,
}


def _named(keys: tuple[str, ...]) -> str:
    return " and ".join(f'"{key}"' for key in keys)


def _temperature(temperature: float | None, samples: int) -> float:
    if temperature is None:
        return VOTE_TEMPERATURE if samples > 1 else 0.0
    if samples > 1 and temperature == 0.0:
        raise ServiceError(
            "vote_is_greedy",
            f"samples is {samples} and temperature is 0, so every sample would be the same. Leave temperature out "
            f"({VOTE_TEMPERATURE:g} is used then), or raise it.",
        )
    return temperature


def _sure(stop_when_sure: float, samples: int, return_samples: bool) -> float:
    if stop_when_sure < 1 and samples == 1:
        raise ServiceError(
            "vote_of_one",
            f"stop_when_sure is {stop_when_sure:g} and samples is 1: there is no vote to stop. Raise samples.",
        )
    if stop_when_sure < 1 and return_samples:
        raise ServiceError(
            "vote_stops_early",
            f"stop_when_sure is {stop_when_sure:g} and return_samples asks for all {samples} samples. Leave one out.",
        )
    return stop_when_sure


def _seed(seed: int | None, samples: int) -> int:
    if seed is None:
        return secrets.randbelow(DRAWN_SEEDS)
    if seed + samples - 1 > MAX_SEED:
        raise ServiceError(
            "seed_out_of_range",
            f"seed is {seed} and samples is {samples}: the last seed would be over {MAX_SEED}. Use a smaller one.",
        )
    return seed


def _tool_loop(loop: ToolLoop, mode: Mode) -> ToolLoop:
    if loop == "published" and mode != "tool":
        raise ServiceError(
            "tool_loop_without_tool",
            f"tool_loop is {loop} and mode is {mode}: no program would run. Set mode to tool, or leave tool_loop out.",
        )
    return loop


def _stop_strings(strings: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(string, str) for string in strings):
        raise ServiceError("stop_invalid", "stop is not a list of strings.")
    meant = []
    for number, string in enumerate(strings, 1):
        if not string:
            raise ServiceError("stop_invalid", f"stop string {number} of {len(strings)} is empty. Leave it out.")
        name = f"stop string {number}"
        meant.append(as_meant(name, _text(name, string)))
    return tuple(dict.fromkeys(meant))


def _turns(messages: list[Any]) -> tuple[Turn, ...]:
    """Earlier turns must read user, assistant, user, assistant, ...: the prompt is the next user turn.

    A page's greeting, which nobody asked for, may come before the first one.
    """
    turns = []
    greeted = bool(messages) and isinstance(messages[0], dict) and messages[0].get("role") == "assistant"
    for number, message in enumerate(messages, 1):
        due = get_args(Role)[(number - 1 + greeted) % 2]
        turns.append(_turn(f"Message {number} of {len(messages)}", message, due))
    if turns and turns[-1].role == "user":
        raise ServiceError(
            "messages_invalid",
            f"The last of {len(messages)} messages is a user's. Send the new question as prompt, not in messages.",
        )
    return tuple(turns)


def _turn(where: str, message: Any, due: Role) -> Turn:
    _require_keys(BY_NAME["messages"], where, message)
    role, content = message["role"], message["content"]
    if role != due:
        hint = " Put a system text into system_prompt." if role == "system" else ""
        raise ServiceError(
            "messages_invalid", f"{where} has the role {role!r} where {due!r} is due: the roles alternate.{hint}"
        )
    if not isinstance(content, str) or not content.strip():
        raise ServiceError("messages_invalid", f"{where} has no text in its content.")
    text = _text(where, content)
    return Turn(due, as_meant(where, text) if due == "user" else text)  # the service's own words come back as they were


def _require_keys(field: InputField, where: str, member: Any) -> None:
    if not isinstance(member, dict) or set(member) != set(field.keys):
        raise ServiceError(field.error_code, f"{where} needs exactly the keys {_named(field.keys)}.")


def _examples(examples: list[Any], mode: Mode) -> tuple[Example, ...]:
    if examples and mode != "fewshot":
        raise ServiceError(
            "examples_without_fewshot",
            f"examples holds {len(examples)} and mode is {mode}, which has no place for them. Set mode to fewshot, or "
            "leave examples out.",
        )
    return tuple(_example(f"Example {number} of {len(examples)}", each) for number, each in enumerate(examples, 1))


def _example(where: str, example: Any) -> Example:
    """Its answer is kept apart where the solution boxes it and does not say it in words, as the prompt has to."""
    field = BY_NAME["examples"]
    _require_keys(field, where, example)
    for key in field.keys:
        if not isinstance(example[key], str) or not example[key].strip():
            raise ServiceError(field.error_code, f"{where} has no text in its {key}.")
    question, solution = (
        as_meant(f"{where}: its {key}", _text(f"{where}: its {key}", example[key])) for key in field.keys
    )
    answer = extract(solution).text
    if answer is None:
        raise ServiceError(
            field.error_code,
            f'The solution of {where[0].lower()}{where[1:]} states no answer. End it with "The answer is 5.", say, or '
            "put the answer in \\boxed{}.",
        )
    return Example(question, solution, "" if claimed(solution) else answer)
