"""One request, checked once at the edge: after `Request.checked` nothing downstream doubts an input again."""

import secrets
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from deepseek_math.errors import ServiceError
from deepseek_math.sampling import Sampling

MAX_NEW_TOKENS = 4096
MAX_STOP_STRINGS = 8
MAX_SEED = 2**53 - 1  # the largest integer that JSON carries exactly in every client
MAX_SAMPLES = 64
VOTE_TEMPERATURE = 0.7  # of the published votes (arXiv 2402.03300, figure 7), where none is asked for
MAX_TOOL_ROUNDS = 8
MAX_CHARACTERS = 100_000  # of one text: 4096 tokens hold less, and tokenising millions takes seconds
DRAWN_SEEDS = 2**31  # seeds we draw ourselves are short enough to type

Mode = Literal["auto", "chat", "cot", "raw", "tool"]
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

    @classmethod
    def checked(
        cls,
        prompt: str,
        mode: str = "auto",
        system_prompt: str = "",
        messages: list[dict[str, Any]] | None = None,
        max_new_tokens: float = 1024,
        temperature: float | None = None,
        top_p: float = 0.95,
        top_k: float = 0,
        stop: list[str] | None = None,
        seed: float | None = None,
        expected_answer: str = "",
        samples: float = 1,
        stop_when_sure: float = 1.0,
        max_tool_rounds: float = 4,
    ) -> "Request":
        """Builds a request from raw inputs, or raises ServiceError naming the input and its limit.

        Whole numbers may come as floats: coglet passes JSON's `5.0` for an integer through as it is.
        """
        if mode not in get_args(Mode):
            raise ServiceError("mode_unknown", f"mode is {mode!r}. Use one of {', '.join(get_args(Mode))}.")
        texts = {"prompt": prompt, "system_prompt": system_prompt, "expected_answer": expected_answer}
        for name, text in texts.items():
            _text(name, text)
        if not prompt.strip():
            raise ServiceError("prompt_empty", "The prompt has no visible character. Send a question or a text.")
        samples = _whole("samples", samples, 1, MAX_SAMPLES)
        return cls(
            prompt=prompt,
            mode=mode,  # type: ignore[arg-type]
            system_prompt=system_prompt,
            messages=_turns(messages or []),
            sampling=Sampling(
                max_new_tokens=_whole("max_new_tokens", max_new_tokens, 1, MAX_NEW_TOKENS),
                temperature=_temperature(temperature, samples),
                top_p=_positive(_between("top_p", top_p, 0.0, 1.0)),
                top_k=_whole("top_k", top_k, 0, None),
                stop=_stop(stop or []),
                seed=secrets.randbelow(DRAWN_SEEDS) if seed is None else _seed(seed, samples),
            ),
            expected_answer=expected_answer.strip(),
            samples=samples,
            stop_when_sure=_sure(stop_when_sure, samples),
            max_tool_rounds=_whole("max_tool_rounds", max_tool_rounds, 1, MAX_TOOL_ROUNDS),
        )


def _whole(name: str, value: float, low: int, high: int | None) -> int:
    limit = f"{low} or more" if high is None else f"from {low} to {high}"
    if not _is_number(value) or value != int(value) or value < low or (high is not None and value > high):
        raise ServiceError(f"{name}_out_of_range", f"{name} is {value!r}. Use a whole number {limit}.")
    return int(value)


def _between(name: str, value: float, low: float, high: float) -> float:
    if not _is_number(value) or not low <= value <= high:
        raise ServiceError(f"{name}_out_of_range", f"{name} is {value!r}. Use a number from {low:g} to {high:g}.")
    return float(value)


def _temperature(temperature: float | None, samples: int) -> float:
    if temperature is None:
        return VOTE_TEMPERATURE if samples > 1 else 0.0
    if samples > 1 and temperature == 0.0:
        raise ServiceError(
            "vote_is_greedy",
            f"samples is {samples} and temperature is 0: all would be the same. Leave temperature out "
            f"({VOTE_TEMPERATURE:g} is taken then), or raise it.",
        )
    return _between("temperature", temperature, 0.0, 2.0)


def _sure(stop_when_sure: float, samples: int) -> float:
    sure = _between("stop_when_sure", stop_when_sure, 0.5, 1.0)
    if sure < 1 and samples == 1:
        raise ServiceError(
            "vote_of_one", f"stop_when_sure is {sure:g} and samples is 1: there is no vote to stop. Raise samples."
        )
    return sure


def _seed(seed: float, samples: int) -> int:
    first = _whole("seed", seed, 0, MAX_SEED)
    if first + samples - 1 > MAX_SEED:
        raise ServiceError(
            "seed_out_of_range",
            f"seed is {first} and samples is {samples}: the last seed would be over {MAX_SEED}. Use a smaller one.",
        )
    return first


def _positive(top_p: float) -> float:
    if top_p == 0.0:
        raise ServiceError("top_p_out_of_range", "top_p is 0, which leaves no token. Use temperature 0 for greedy.")
    return top_p


def _is_number(value: object) -> bool:
    """Finite, and no bool, which Python counts as an integer."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and isfinite(value))


def _stop(stop: list[str]) -> tuple[str, ...]:
    if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
        raise ServiceError("stop_invalid", "stop is not a list of strings.")
    if len(stop) > MAX_STOP_STRINGS:
        raise ServiceError("stop_invalid", f"stop holds {len(stop)} strings. Send at most {MAX_STOP_STRINGS}.")
    for place, text in enumerate(stop, 1):
        _text(f"stop string {place}", text)
        if not text:
            raise ServiceError("stop_invalid", f"stop string {place} of {len(stop)} is empty. Leave it out.")
    return tuple(dict.fromkeys(stop))


def _turns(messages: list[dict[str, Any]]) -> tuple[Turn, ...]:
    """Earlier turns must read user, assistant, user, assistant, ...: the prompt is the next user turn."""
    if not isinstance(messages, list):
        raise ServiceError("messages_invalid", 'messages is not a list of {"role", "content"} objects.')
    for place, message in enumerate(messages, 1):
        where = f"Message {place} of {len(messages)}"
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise ServiceError("messages_invalid", f'{where} needs exactly the keys "role" and "content".')
        expected = get_args(Role)[(place - 1) % 2]
        if message["role"] != expected:
            hint = " Put a system text into system_prompt." if message["role"] == "system" else ""
            raise ServiceError(
                "messages_invalid",
                f"{where} has the role {message['role']!r} where {expected!r} is due: the roles alternate.{hint}",
            )
        if not isinstance(message["content"], str) or not message["content"].strip():
            raise ServiceError("messages_invalid", f"{where} has no text in its content.")
        _text(where, message["content"])
    if len(messages) % 2:
        raise ServiceError(
            "messages_invalid",
            f"The last of {len(messages)} messages is a user's. Send the new question as prompt, not in messages.",
        )
    return tuple(Turn(message["role"], message["content"]) for message in messages)


def _text(name: str, value: str) -> None:
    """Neither too long nor half a character: JSON can hold a lone surrogate, but no UTF-8 stream carries it."""
    if not isinstance(value, str):
        raise ServiceError("text_invalid", f"{name} is {type(value).__name__}, not a string.")
    if len(value) > MAX_CHARACTERS:
        raise ServiceError("text_too_long", f"{name} has {len(value)} characters. Send at most {MAX_CHARACTERS}.")
    lone = next((place for place, letter in enumerate(value) if "\ud800" <= letter <= "\udfff"), None)
    if lone is not None:
        raise ServiceError(
            "text_invalid", f"{name} holds half a UTF-16 pair at character {lone + 1}. Send whole characters."
        )
