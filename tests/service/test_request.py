"""Bad input is refused at the edge, each with the error that names it; good input is never changed."""

from typing import Any

import pytest

from deepseek_math.errors import CODES, ServiceError
from deepseek_math.inputs import OTHER_NAMES
from deepseek_math.request import Request, Turn

pytestmark = pytest.mark.unit

USER = {"role": "user", "content": "What is 2 + 3?"}
ASSISTANT = {"role": "assistant", "content": " It is 5."}

EXAMPLE = {"question": "What is 1 + 1?", "solution": "The answer is 2."}

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # inputs, code, what the sentence must name
    ({"prompt": ""}, "prompt_empty", "no visible character"),
    ({"prompt": "   "}, "prompt_empty", "no visible character"),
    ({"prompt": "\n\t\u3000"}, "prompt_empty", "no visible character"),
    ({"prompt": "a\ud83d"}, "text_invalid", "character 2"),
    ({"prompt": "\udca9"}, "text_invalid", "character 1"),
    ({"prompt": "a" * 100_001}, "text_too_long", "100001"),
    ({"messages": [{"role": "user", "content": "a" * 200_000}]}, "text_too_long", "Message 1"),
    ({"prompt": None}, "text_invalid", "NoneType"),
    ({"prompt": 12}, "text_invalid", "int"),
    ({"prompt": ["What is 2 + 3?"]}, "text_invalid", "list"),
    ({"system_prompt": "\ud800"}, "text_invalid", "system_prompt"),
    ({"system_prompt": None}, "text_invalid", "system_prompt"),
    ({"mode": "poem"}, "mode_unknown", "'poem'"),
    ({"mode": ""}, "mode_unknown", "auto, chat, cot, fewshot, raw"),
    ({"mode": "COT"}, "mode_unknown", "'COT'"),
    ({"max_new_tokens": 0}, "max_new_tokens_out_of_range", "from 1 to 4096"),
    ({"max_new_tokens": -1}, "max_new_tokens_out_of_range", "-1"),
    ({"max_new_tokens": 4097}, "max_new_tokens_out_of_range", "4097"),
    ({"max_new_tokens": 1.5}, "max_new_tokens_out_of_range", "1.5"),
    ({"max_new_tokens": float("inf")}, "max_new_tokens_out_of_range", "inf"),
    ({"max_new_tokens": float("nan")}, "max_new_tokens_out_of_range", "nan"),
    ({"max_new_tokens": True}, "max_new_tokens_out_of_range", "True"),
    ({"max_new_tokens": "10"}, "max_new_tokens_out_of_range", "'10'"),
    ({"temperature": -0.1}, "temperature_out_of_range", "-0.1"),
    ({"temperature": 2.1}, "temperature_out_of_range", "from 0 to 2"),
    ({"temperature": float("nan")}, "temperature_out_of_range", "nan"),
    ({"temperature": "hot"}, "temperature_out_of_range", "'hot'"),
    ({"top_p": 0}, "top_p_out_of_range", "over 0 and at most 1"),
    ({"top_p": -0.5}, "top_p_out_of_range", "-0.5"),
    ({"top_p": 1.01}, "top_p_out_of_range", "1.01"),
    ({"top_p": float("nan")}, "top_p_out_of_range", "nan"),
    ({"top_k": -1}, "top_k_out_of_range", "0 or more"),
    ({"top_k": 2.5}, "top_k_out_of_range", "2.5"),
    ({"top_k": float("inf")}, "top_k_out_of_range", "inf"),
    ({"seed": -1}, "seed_out_of_range", "-1"),
    ({"seed": 0.5}, "seed_out_of_range", "0.5"),
    ({"seed": 2**53}, "seed_out_of_range", str(2**53 - 1)),
    ({"seed": 1e300}, "seed_out_of_range", "1e+300"),
    ({"seed": 10**5000}, "seed_out_of_range", "16610 bits"),
    ({"seed": False}, "seed_out_of_range", "False"),
    ({"stop": [""]}, "stop_invalid", "string 1 of 1 is empty"),
    ({"stop": ["a", ""]}, "stop_invalid", "string 2 of 2"),
    ({"stop": list("abcdefghi")}, "stop_invalid", "9 strings"),
    ({"stop": "abc"}, "stop_invalid", "not a list"),
    ({"stop": [1]}, "stop_invalid", "not a list of strings"),
    ({"stop": ["\ud800"]}, "text_invalid", "stop string 1"),
    ({"messages": [USER]}, "messages_invalid", "Send the new question as prompt"),
    ({"messages": [ASSISTANT, ASSISTANT]}, "messages_invalid", "'user' is due"),
    ({"messages": [ASSISTANT, USER]}, "messages_invalid", "The last of 2"),
    ({"messages": [USER, USER]}, "messages_invalid", "'assistant' is due"),
    ({"messages": [USER, ASSISTANT, USER]}, "messages_invalid", "The last of 3"),
    ({"messages": [{"role": "system", "content": "Be brief."}]}, "messages_invalid", "system_prompt"),
    ({"messages": [{"role": "tool", "content": "5"}]}, "messages_invalid", "'tool'"),
    ({"messages": [{"role": "user"}]}, "messages_invalid", "Message 1 of 1"),
    ({"messages": [USER, {**ASSISTANT, "name": "x"}]}, "messages_invalid", "exactly the keys"),
    ({"messages": [USER, {"role": "assistant", "content": " "}]}, "messages_invalid", "no text"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages_invalid", "no text"),
    ({"messages": [USER, {"role": "assistant", "content": "\udfff"}]}, "text_invalid", "Message 2 of 2"),
    ({"messages": ["hello"]}, "messages_invalid", "Message 1 of 1"),
    ({"examples": [EXAMPLE]}, "examples_without_fewshot", "mode is auto"),
    ({"examples": [EXAMPLE], "mode": "cot"}, "examples_without_fewshot", "mode is cot"),
    ({"examples": EXAMPLE, "mode": "fewshot"}, "examples_invalid", "not a list"),
    ({"examples": ["x"], "mode": "fewshot"}, "examples_invalid", "Example 1 of 1"),
    ({"examples": [EXAMPLE, USER], "mode": "fewshot"}, "examples_invalid", 'keys "question" and "solution"'),
    ({"examples": [EXAMPLE | {"answer": "2"}], "mode": "fewshot"}, "examples_invalid", "exactly the keys"),
    ({"examples": [EXAMPLE | {"question": " "}], "mode": "fewshot"}, "examples_invalid", "no text in its question"),
    ({"examples": [EXAMPLE | {"solution": 2}], "mode": "fewshot"}, "examples_invalid", "no text in its solution"),
    ({"examples": [EXAMPLE | {"solution": "It is 2."}], "mode": "fewshot"}, "examples_invalid", "states no answer"),
    ({"examples": [EXAMPLE | {"question": "\ud800"}], "mode": "fewshot"}, "text_invalid", "Example 1 of 1"),
    ({"messages": USER}, "messages_invalid", "not a list"),
    ({"max_tokens": 0}, "max_new_tokens_out_of_range", "max_tokens is 0"),
    ({"max_length": 5000}, "max_new_tokens_out_of_range", "from 1 to 4096"),
    ({"max_tokens": 5, "max_new_tokens": 7}, "names_disagree", "max_new_tokens is 7 and max_tokens is 5"),
    ({"max_tokens": 5, "max_length": 7}, "names_disagree", "max_tokens is 5 and max_length is 7"),
    ({"stop_sequences": "a", "stop": ["b"]}, "names_disagree", "both are names of stop"),
    ({"stop_sequences": "a,"}, "stop_invalid", "string 2 of 2 is empty"),
    ({"stop_sequences": "a,b,c,d,e,f,g,h,i"}, "stop_invalid", "9 strings"),
    ({"stop_sequences": 5}, "stop_invalid", "not a list of strings"),
    ({"stop_sequences": "[1]"}, "stop_invalid", "not a list of strings"),
    ({"presence_penalty": 0.5}, "input_not_offered", "presence_penalty is 0.5"),
    ({"presence_penalty": "none"}, "input_not_offered", "Use a number."),
    ({"frequency_penalty": -0.1}, "input_not_offered", "send 0, which changes nothing"),
    ({"repetition_penalty": 0}, "input_not_offered", "send 1, which changes nothing"),
    ({"length_penalty": 1.2}, "input_not_offered", "length_penalty is 1.2"),
    ({"min_tokens": 8}, "input_not_offered", "min_tokens is 8"),
    ({"min_p": 0.05}, "input_not_offered", "min_p is 0.05"),
    ({"prompt_template": "[INST] {prompt} [/INST]"}, "input_not_offered", "with mode raw"),
]


@pytest.mark.parametrize(("inputs", "code", "named"), REFUSED)
def test_bad_input_is_refused_by_name(inputs: dict[str, Any], code: str, named: str) -> None:
    with pytest.raises(ServiceError) as refused:
        Request.checked(**({"prompt": "What is 2 + 3?"} | inputs))
    assert refused.value.code == code
    assert named in refused.value.message
    assert str(refused.value) == f"{code}: {refused.value.message}"
    assert "cancelled" not in str(refused.value).lower()


def test_at_least_forty_bad_inputs_are_listed() -> None:
    assert len(REFUSED) >= 40


def test_a_quoted_text_cannot_turn_an_error_into_a_cancellation() -> None:
    with pytest.raises(ServiceError) as refused:
        Request.checked(prompt="x", mode="cancelled")
    assert "cancelled" not in str(refused.value)


def test_defaults_are_the_published_decoding() -> None:
    sampling = Request.checked(prompt="x").sampling
    assert sampling.greedy
    assert sampling.max_new_tokens == 1024


def test_a_greeting_may_come_before_the_first_question() -> None:
    request = Request.checked(prompt="2+3?", messages=[ASSISTANT, USER, ASSISTANT])
    assert [turn.role for turn in request.messages] == ["assistant", "user", "assistant"]


def test_seed_zero_is_a_seed_and_no_seed_is_drawn() -> None:
    assert Request.checked(prompt="x", seed=0).sampling.seed == 0
    assert len({Request.checked(prompt="x").sampling.seed for _ in range(8)}) > 1


def test_whole_numbers_may_come_as_floats() -> None:
    """coglet hands JSON's 5.0 to an integer input as a float."""
    sampling = Request.checked(prompt="x", max_new_tokens=5.0, top_k=3.0, seed=7.0).sampling
    assert (sampling.max_new_tokens, sampling.top_k, sampling.seed) == (5, 3, 7)
    assert all(type(value) is int for value in (sampling.max_new_tokens, sampling.top_k, sampling.seed))


def test_good_input_reaches_the_request_unchanged() -> None:
    request = Request.checked(prompt=" a\n", messages=[USER, ASSISTANT], stop=["b", "a", "b"], top_p=1)
    assert request.prompt == " a\n"
    assert request.messages == (Turn("user", USER["content"]), Turn("assistant", ASSISTANT["content"]))
    assert request.sampling.stop == ("b", "a")
    assert request.sampling.top_p == 1.0


@pytest.mark.parametrize("name", ["max_tokens", "max_length", "max_completion_tokens"])
def test_another_name_of_the_limit_counts_as_the_limit(name: str) -> None:
    assert Request.checked(prompt="x", **{name: 50}).sampling.max_new_tokens == 50
    both = Request.checked(prompt="x", max_new_tokens=50, **{name: 50})
    assert both.sampling.max_new_tokens == 50


@pytest.mark.parametrize(
    ("given", "stop"),
    [
        ("a,b", ("a", "b")),
        ("<end>", ("<end>",)),
        (["a,b"], ("a,b",)),
        ('["a,b"]', ("a,b",)),
        ("[x,y", ("[x", "y")),
        ("", ()),
        (None, ()),
    ],
)
def test_stop_sequences_is_a_list_or_a_text_with_commas(given: Any, stop: tuple[str, ...]) -> None:
    assert Request.checked(prompt="x", stop_sequences=given).sampling.stop == stop


def test_what_is_not_offered_is_taken_where_it_changes_nothing() -> None:
    plain = Request.checked(prompt="x", seed=1)
    for field in OTHER_NAMES:
        for value in (None, *field.neutral):
            assert Request.checked(prompt="x", seed=1, **{field.name: value}) == plain


def test_every_code_has_one_meaning_that_fits_a_table() -> None:
    assert all("|" not in meaning and "\n" not in meaning for meaning in CODES.values())
