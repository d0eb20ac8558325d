"""One request of OpenAI's form, checked once at the edge."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from deepseek_math.door import turns
from deepseek_math.door.fields import INPUTS, NEUTRAL, READ, RENAMED, WITHOUT_EFFECT
from deepseek_math.door.refusals import Refused, invalid, of_error
from deepseek_math.errors import ServiceError
from deepseek_math.request import Request

Kind = Literal["chat", "text"]
TEXT_TOKENS = 16  # of /v1/completions where none is asked for (OpenAI's API reference, completions, max_tokens)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for: one prediction for each of its prompts."""

    kind: Kind
    inputs: tuple[Mapping[str, Any], ...]  # of each prediction
    written: Mapping[str, str]  # the client's names of our inputs
    model: str | None
    stream: bool
    include_usage: bool

    @classmethod
    def read(cls, body: bytes, kind: Kind) -> "Asked":
        """Raises Refused with the field's name."""
        fields = {name: value for name, value in _object(body).items() if value is not None}
        written = {RENAMED.get(name, name): name for name in fields} | {"prompt": _PLACE[kind]}
        common = _inputs(fields)
        if kind == "text":
            common = {"mode": "raw", "max_new_tokens": TEXT_TOKENS, **common}
        inputs = tuple({**common, **prompt} for prompt in _prompts(fields, kind))
        for each in inputs:
            try:
                Request.checked(**each)
            except ServiceError as error:
                raise of_error(error, written) from error
        stream = _flag(fields, "stream")
        return cls(kind, inputs, written, _model(fields), stream, _include_usage(fields, stream))


_PLACE: Mapping[Kind, str] = {"chat": "messages", "text": "prompt"}


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not valid JSON: {error}", None, "invalid_json") from error
    if not isinstance(found, dict):
        raise invalid("The body is not a JSON object.", None, "invalid_json")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _prompts(fields: Mapping[str, Any], kind: Kind) -> list[dict[str, Any]]:
    if kind == "chat":
        return [turns.inputs(fields.get("messages"))]
    prompt = fields.get("prompt")
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if not prompts or not all(isinstance(each, str) for each in prompts):
        raise invalid("prompt must be a text or a list of texts; token ids are not taken.", "prompt")
    return [{"prompt": each} for each in prompts]


def _inputs(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Our inputs among the fields. Raises Refused for a field that can't be honoured, or is unknown."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if name in RENAMED or name in INPUTS:
            meant = RENAMED.get(name, name)
            if found.setdefault(meant, value) != value:
                raise invalid(f"{name} is {value!r}, and another name of it {found[meant]!r}. Send one.", name)
        elif name in NEUTRAL:
            if value not in NEUTRAL[name]:
                raise invalid(f"{name} is {value!r:.80}, which can't be honoured. Leave it out.", name, "not_offered")
        elif name not in READ and name not in WITHOUT_EFFECT:
            raise _unknown(name)
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]] if found["stop"] else []
    return found


def _unknown(name: str) -> Refused:
    near = difflib.get_close_matches(name, [*READ, *RENAMED, *INPUTS, *NEUTRAL, *WITHOUT_EFFECT], 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return invalid(f"{name[:80]} is no field of this API.{hint}", name[:80], "unknown_field")


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"{name} is {value!r:.80}. Use true or false.", name)
    return value


def _model(fields: Mapping[str, Any]) -> str | None:
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise invalid("model must be a text.", "model")
    return model


def _include_usage(fields: Mapping[str, Any], stream: bool) -> bool:
    options = fields.get("stream_options", {})
    if not isinstance(options, dict):
        raise invalid("stream_options must be an object.", "stream_options")
    if options and not stream:
        raise invalid("stream_options is only taken with stream true.", "stream_options")
    return _flag({name: value for name, value in options.items() if value is not None}, "include_usage")
