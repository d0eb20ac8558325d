"""One request of OpenAI's form, checked once at the edge: nothing later doubts a field again."""

import difflib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from deepseek_math.door import turns
from deepseek_math.door.fields import INPUTS, NEUTRAL, READ, RENAMED, WITHOUT_EFFECT
from deepseek_math.door.refusals import Refused, invalid, of_error
from deepseek_math.errors import ServiceError
from deepseek_math.inputs import BY_NAME, MAX_SEED
from deepseek_math.request import DRAWN_SEEDS, Request

Kind = Literal["chat", "text"]
Fields = dict[str, Any]
PLACE: Mapping[Kind, str] = {"chat": "messages", "text": "prompt"}  # the field that holds the question
TEXT_TOKENS = 16  # of /v1/completions where none is asked for (OpenAI's API reference, completions, max_tokens)
MOST_CHOICES = int(BY_NAME["samples"].highest or 1)
MOST_PROMPTS = 64
SEEDS = 2**64  # that OpenAI's reference has, from -2^63 on
FOLDED_SEEDS = 2**52  # onto which the service's own are extended


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for: one prediction for each of its prompts, and `n` choices of each."""

    kind: Kind
    predictions: tuple[Mapping[str, Any], ...]  # the inputs of each
    written: Mapping[str, str]  # the client's names of our inputs
    model: str | None
    n: int
    alike: bool  # whether its choices are one text: there is one, or decoding is greedy
    seed_shift: int  # from the seed that the service gets to the client's own
    logprobs: bool
    stream: bool
    include_usage: bool

    @property
    def mode(self) -> str:
        return str(self.predictions[0].get("mode", "auto"))

    @property
    def choices(self) -> int:
        return len(self.predictions) * self.n

    @classmethod
    def read(cls, body: bytes, kind: Kind) -> "Asked":
        """Raises Refused, with the field that it is about."""
        fields: Fields = {name: value for name, value in _object(body).items() if value is not None}
        written = {RENAMED.get(name, name): name for name in fields}
        written |= {"prompt": PLACE[kind], "system_prompt": PLACE[kind]}
        _require_own_place(fields, kind)
        stream = _flag(fields, "stream")
        include_usage = _include_usage(fields, stream)
        inputs = _inputs(fields)
        if kind == "text":
            inputs = {"mode": "raw", "max_new_tokens": TEXT_TOKENS, **inputs}
        _as_ours(inputs)
        logprobs = _logprobs(fields, kind)
        if logprobs:
            inputs["logprobs"] = True
        n = _choices(fields, inputs)
        alike = n == 1 or inputs.get("temperature") == 0
        if not alike:
            written["samples"] = "n"
            inputs |= {"samples": n, "return_samples": True}
            inputs.setdefault("seed", secrets.randbelow(DRAWN_SEEDS))  # known here: a sample's place is seed less this
        shift = _fold_seed(inputs)
        predictions = tuple({**inputs, **prompt} for prompt in _prompts(fields, kind))
        for each in predictions:
            try:
                Request.checked(**each)
            except ServiceError as error:
                raise of_error(error, written) from error
        return cls(kind, predictions, written, _model(fields), n, alike, shift, logprobs, stream, include_usage)


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


def _require_own_place(fields: Fields, kind: Kind) -> None:
    for other, name in PLACE.items():
        if other != kind and name in fields:
            raise invalid(f"{name} means nothing here. Send {PLACE[kind]}.", name, "unknown_field")


def _prompts(fields: Fields, kind: Kind) -> list[dict[str, Any]]:
    if kind == "chat":
        return [turns.inputs(fields.get("messages"))]
    prompt = fields.get("prompt")
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if not prompts or not all(isinstance(each, str) for each in prompts):
        raise invalid("prompt must be a text or a list of texts; token ids are not taken.", "prompt")
    if len(prompts) > MOST_PROMPTS:
        raise invalid(f"prompt holds {len(prompts)} texts. Send at most {MOST_PROMPTS}.", "prompt")
    return [{"prompt": each} for each in prompts]


def _inputs(fields: Fields) -> dict[str, Any]:
    """Our inputs among the fields. Raises Refused for a field that can't be honoured, or is unknown."""
    found: dict[str, Any] = {}
    names: dict[str, str] = {}  # under which they came
    for name, value in fields.items():
        if name in RENAMED or name in INPUTS:
            meant = RENAMED.get(name, name)
            first = names.setdefault(meant, name)
            if found.setdefault(meant, value) != value:
                raise invalid(
                    f"{first} is {found[meant]!r:.80} and {name} {value!r:.80}: both mean {meant}. Send one of them.",
                    first,
                    "invalid_parameter_combination",
                )
        elif name in NEUTRAL:
            if not _is_one_of(value, NEUTRAL[name]):
                raise invalid(
                    f"{name} is {value!r:.80}, which this service can't honour. Leave it out.", name, "not_offered"
                )
        elif name not in READ and name not in WITHOUT_EFFECT:
            raise _unknown(name)
    return found


def _is_one_of(value: Any, values: Sequence[Any]) -> bool:
    """Equal and no bool for a number, which Python takes for one. An object's nulls are as if not sent."""
    if isinstance(value, dict):
        value = {name: each for name, each in value.items() if each is not None}
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)


def _unknown(name: str) -> Refused:
    near = difflib.get_close_matches(name, [*READ, *RENAMED, *INPUTS, *NEUTRAL, *WITHOUT_EFFECT], 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return invalid(f"{name[:80]!r} is no field of this API.{hint}", name[:80], "unknown_field")


def _as_ours(inputs: dict[str, Any]) -> None:
    """Values beyond the service's ranges that OpenAI, or custom, gives a meaning."""
    if isinstance(inputs.get("stop"), str):
        inputs["stop"] = [inputs["stop"]] if inputs["stop"] else []
    if _is_one_of(inputs.get("top_p"), (0,)):  # the likeliest token alone
        del inputs["top_p"]
        inputs["temperature"] = 0
    if _is_one_of(inputs.get("top_k"), (-1,)):  # no limit
        inputs["top_k"] = 0
    if _is_one_of(inputs.get("max_new_tokens"), (-1,)):  # no limit, as LM Studio's and llama.cpp's examples have it
        del inputs["max_new_tokens"]


def _fold_seed(inputs: dict[str, Any]) -> int:
    """Puts a seed in the service's place that it takes, and returns what the client's own has over that."""
    seed = inputs.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not -SEEDS // 2 <= seed < SEEDS // 2:
        return 0
    if 0 <= seed <= MAX_SEED - MOST_CHOICES:
        return 0
    inputs["seed"] = seed % FOLDED_SEEDS
    return seed - int(inputs["seed"])


def _choices(fields: Fields, inputs: Mapping[str, Any]) -> int:
    n = fields.get("n", 1)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST_CHOICES:
        raise invalid(f"n is {n!r:.80}. Use a whole number from 1 to {MOST_CHOICES}.", "n")
    if n > 1 and inputs.get("samples", n) != n:
        raise invalid(
            f"n is {n} and samples {inputs['samples']!r:.80}: n choices are n samples. Send one of them.", "n"
        )
    if n > 1 and inputs.get("stop_when_sure", 1) != 1:
        raise invalid(f"n is {n}, and stop_when_sure would leave choices out. Send one of them.", "stop_when_sure")
    if fields.get("best_of", n) != n:
        raise invalid(
            f"best_of is {fields['best_of']!r:.80} and n {n}: no further choices are drawn. Leave it out.",
            "best_of",
            "not_offered",
        )
    return n


def _logprobs(fields: Fields, kind: Kind) -> bool:
    """Whether the drawn tokens' are asked for. Those of other tokens are refused."""
    if not _is_one_of(fields.get("top_logprobs", 0), (0,)):
        raise invalid("top_logprobs is not 0, and only the drawn tokens' are known. Leave it out.", "top_logprobs")
    if kind == "text":
        asked = fields.get("logprobs", False)
        if not _is_one_of(asked, (False, 0)):
            raise invalid(f"logprobs is {asked!r:.80}. 0 is offered: that of the drawn token alone.", "logprobs")
        return asked is not False
    return _flag(fields, "logprobs")


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"{name} is {value!r:.80}. Use true or false.", name)
    return value


def _model(fields: Fields) -> str | None:
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise invalid("model must be a text.", "model")
    return model or None  # pages with an empty field for it mean the one that is served


def _include_usage(fields: Fields, stream: bool) -> bool:
    options = fields.get("stream_options", {})
    if not isinstance(options, dict):
        raise invalid("stream_options must be an object.", "stream_options")
    asked = {name: value for name, value in options.items() if value not in (None, False)}
    for name in asked.keys() - {"include_usage", "include_obfuscation"}:
        raise invalid(f"stream_options.{name} is not offered. Leave it out.", f"stream_options.{name}", "not_offered")
    if asked and not stream:
        raise invalid("stream_options is only taken with stream true.", "stream_options")
    return _flag(asked, "include_usage")
