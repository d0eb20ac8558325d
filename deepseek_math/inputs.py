"""The one table of inputs: name, type, default, bounds, description and error code of each.

`replicate/predict.py` has its signature from here (`cog/signature.py` writes it, a test compares it), and the OpenAPI
document, the check of a request, the clients and the documentation read it. To add an input, add a row and run
`dsm schema --update`; docs/development.md has the other places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CONCURRENCY = 64  # predictions that Cog takes at once; the engine's slots bound what is worked on
CONTEXT = 4096  # tokens of DeepSeekMath (config.json, max_position_embeddings)
VOTE_TEMPERATURE = 0.7  # of the published votes (arXiv 2402.03300, figure 7), where none is asked for
TEXT_CHARACTERS = 100_000  # the most of one text: 4096 tokens hold less, and tokenising millions takes seconds
MAX_SEED = 2**53 - 1  # the largest integer that JSON carries exactly in every client
REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class InputField:
    """One input. `type` is written as in predict.py; a type that may be left out ends in `| None`."""

    name: str
    type: str
    description: str
    default: Any = REQUIRED
    minimum: float | None = None
    maximum: float | None = None
    above_minimum: bool = False  # the minimum itself is refused; Cog's schema can't say so
    min_length: int | None = None  # characters
    max_items: int | None = None  # of a list; Cog's schema can't say so
    keys: tuple[str, ...] = ()  # of each object in a list; Cog's schema can't say so
    unpublished_maximum: float | None = None  # a maximum that is checked and not in Cog's schema
    choices: tuple[str, ...] = ()
    deprecated: bool = False
    synonym_of: str | None = None  # the input that other models at Replicate give this name
    neutral: tuple[Any, ...] = ()  # of an input that is not offered: the values that change nothing
    error_code: str = "text_invalid"  # of a value that is refused

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def kind(self) -> str:
        """The type without `| None`."""
        return self.type.removesuffix(" | None")

    @property
    def optional(self) -> bool:
        return self.kind != self.type

    @property
    def highest(self) -> float | None:
        return self.unpublished_maximum if self.maximum is None else self.maximum

    @property
    def limits(self) -> str:
        """The bounds in words, such as "from 1 to 4096"; empty where there are none."""
        if self.above_minimum:
            return f"over {self.minimum:g} and at most {self.highest:g}"
        if self.minimum is not None and self.highest is not None:
            return f"from {self.minimum:g} to {self.highest:.16g}"
        if self.minimum is not None:
            return f"{self.minimum:g} or more"
        return ""


OWN_INPUTS: tuple[InputField, ...] = (
    InputField(
        "prompt",
        "str",
        "The problem to solve, in English or Chinese, or with a base checkpoint the text to continue.",
        min_length=1,
        error_code="prompt_empty",
    ),
    InputField(
        "mode",
        "str",
        "How the prompt is put to the model. chat: as a question. cot: as a question, asking for steps and a boxed "
        "answer, as in the published results. raw: as it is. tool: as a question, asking for steps and programs, which "
        "are run and whose output the model reads. fewshot: after worked examples, for base checkpoints. auto: raw for "
        "base checkpoints, cot for the others.",
        default="auto",
        choices=("auto", "chat", "cot", "fewshot", "raw", "tool"),
        error_code="mode_unknown",
    ),
    InputField(
        "system_prompt",
        "str",
        "A text before the conversation. The authors of DeepSeekMath advise against one: leave it empty unless you "
        "know why.",
        default="",
    ),
    InputField(
        "messages",
        "list[dict]",
        "Earlier turns of the conversation, oldest first, each with role (user or assistant) and content. The prompt "
        "is the next user turn.",
        default=[],
        keys=("role", "content"),
        error_code="messages_invalid",
    ),
    InputField(
        "max_new_tokens",
        "int",
        "The most tokens to generate. The published results allow 1024. Prompt and completion together must fit the "
        f"context of {CONTEXT}.",
        default=1024,
        minimum=1,
        maximum=CONTEXT,
        error_code="max_new_tokens_out_of_range",
    ),
    InputField(
        "temperature",
        "float | None",
        f"Randomness. Empty or 0 is greedy, as published; for a vote empty is {VOTE_TEMPERATURE} and 0 is refused.",
        default=None,
        minimum=0.0,
        maximum=2.0,
        error_code="temperature_out_of_range",
    ),
    InputField(
        "top_p",
        "float",
        "Keep only the likeliest tokens that together reach this probability. Over 0, and 1 keeps all. No effect on "
        "greedy decoding.",
        default=0.95,
        minimum=0.0,
        maximum=1.0,
        above_minimum=True,
        error_code="top_p_out_of_range",
    ),
    InputField(
        "top_k",
        "int",
        "Keep only this many of the likeliest tokens. 0 is off.",
        default=0,
        minimum=0,
        error_code="top_k_out_of_range",
    ),
    InputField(
        "stop",
        "list[str]",
        "Up to 8 texts that end the completion where the first of them would appear.",
        default=[],
        max_items=8,
        error_code="stop_invalid",
    ),
    InputField(
        "seed",
        "int | None",
        "The same seed gives the same completion. Empty: one is drawn and reported.",
        default=None,
        minimum=0,
        unpublished_maximum=MAX_SEED,
        error_code="seed_out_of_range",
    ),
    InputField(
        "expected_answer",
        "str",
        "The right answer, if you know it: the metric correct then says whether the answer found in the completion is "
        "equivalent to it.",
        default="",
    ),
    InputField(
        "samples",
        "int",
        "How many completions to draw, with the seeds seed, seed + 1 and so on. Over 1 they vote: the text is one "
        f"whole completion with the most frequent answer, and temperature is {VOTE_TEMPERATURE} where none is given.",
        default=1,
        minimum=1,
        maximum=64,
        error_code="samples_out_of_range",
    ),
    InputField(
        "stop_when_sure",
        "float",
        "A vote always stops when the leading answer can't be caught. Below 1 it also stops when the probability that "
        "the leader is the likelier answer reaches this.",
        default=1.0,
        minimum=0.5,
        maximum=1.0,
        error_code="stop_when_sure_out_of_range",
    ),
    InputField(
        "max_tool_rounds",
        "int",
        "The most programs that one completion may run with mode tool. The published script runs two.",
        default=4,
        minimum=1,
        maximum=8,
        error_code="max_tool_rounds_out_of_range",
    ),
    InputField(
        "tool_loop",
        "str",
        "How programs run with mode tool. service: each one once, and the model goes on after the last. published: as "
        "in the published script, all of them anew each time, and the output of the last one ends the completion.",
        default="service",
        choices=("service", "published"),
        error_code="tool_loop_unknown",
    ),
    InputField(
        "examples",
        "list[dict]",
        "With mode fewshot: worked examples in place of the four of the service, each with question and solution. A "
        "solution states its answer: in a box, or after the words The answer is.",
        default=[],
        keys=("question", "solution"),
        error_code="examples_invalid",
    ),
    InputField(
        "return_samples",
        "bool",
        "Report every sample in the metric samples, with its text, seed and answer. A vote then does not stop early.",
        default=False,
        error_code="flag_invalid",
    ),
    InputField(
        "logprobs",
        "bool",
        "Report the log-probabilities of the tokens drawn in the metric token_logprobs. Not every engine has them.",
        default=False,
        error_code="flag_invalid",
    ),
)


def _synonym(name: str, of: str, type: str, **limits: Any) -> InputField:
    """Another model's name for one of the inputs above."""
    description = f"Another name for {of}, which other models use."
    return InputField(name, f"{type} | None", description, default=None, deprecated=True, synonym_of=of, **limits)


def _not_offered(name: str, type: str, *neutral: Any) -> InputField:
    """An input of other models: Cog would drop it in silence if it were not declared."""
    values = " or ".join(str(value) or "an empty text" for value in neutral)
    description = f"Not offered: {values} changes nothing, any other value is refused."
    return InputField(
        name,
        f"{type} | None",
        description,
        default=None,
        deprecated=True,
        neutral=neutral,
        error_code="input_not_offered",
    )


_TOKENS: Mapping[str, Any] = {"minimum": 1, "maximum": CONTEXT, "error_code": "max_new_tokens_out_of_range"}
# The names that other models at Replicate use (Llama, Mixtral, DeepSeek R1, Vicuna, read in November 2026).
OTHER_NAMES = (
    _synonym("max_tokens", "max_new_tokens", "int", **_TOKENS),
    _synonym("max_length", "max_new_tokens", "int", **_TOKENS),
    _synonym("max_completion_tokens", "max_new_tokens", "int", **_TOKENS),
    _synonym("stop_sequences", "stop", "str | list[str]", max_items=8, error_code="stop_invalid"),
    _not_offered("presence_penalty", "float", 0),
    _not_offered("frequency_penalty", "float", 0),
    _not_offered("repetition_penalty", "float", 1),
    _not_offered("length_penalty", "float", 1),
    _not_offered("min_tokens", "int", 0),
    _not_offered("min_new_tokens", "int", 0, -1),
    _not_offered("min_p", "float", 0),
    _not_offered("prompt_template", "str", "{prompt}", ""),
)
INPUTS = OWN_INPUTS + OTHER_NAMES
BY_NAME: Mapping[str, InputField] = {field.name: field for field in INPUTS}
