"""What a body asks of the service, field by field, and how each that can't be honoured is refused."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseek_math.door.asked import MOST_CHOICES, Asked, Kind
from deepseek_math.door.fields import INPUTS, NEUTRAL, READ, RENAMED
from deepseek_math.door.refusals import Refused
from deepseek_math.inputs import MAX_SEED
from deepseek_math.request import Request

pytestmark = pytest.mark.unit

QUESTION = {"role": "user", "content": "2+3?"}
GREETING = {"role": "assistant", "content": "Hello!"}
TEXT_LIMIT = {"mode": "raw", "max_new_tokens": 16}


def read(kind: Kind = "chat", **fields: Any) -> Asked:
    place = {"messages": [QUESTION]} if kind == "chat" else {"prompt": "2+3="}
    return Asked.read(json.dumps({**place, **fields}).encode(), kind)


@pytest.mark.parametrize(
    ("fields", "inputs"),
    [
        ({}, {}),
        ({"model": "m", "user": "me", "temperature": None}, {}),
        ({"model": ""}, {}),
        ({"max_tokens": 9}, {"max_new_tokens": 9}),
        ({"max_tokens": 9, "max_completion_tokens": 9}, {"max_new_tokens": 9}),
        ({"n_predict": 9, "random_seed": 3}, {"max_new_tokens": 9, "seed": 3}),
        ({"stop": "\n"}, {"stop": ["\n"]}),
        ({"stop": ""}, {"stop": []}),
        ({"temperature": 0.7, "top_p": 0.9, "top_k": 40}, {"temperature": 0.7, "top_p": 0.9, "top_k": 40}),
        ({"temperature": 1, "top_p": 0}, {"temperature": 0}),
        ({"top_k": -1}, {"top_k": 0}),
        ({"max_tokens": -1}, {}),
        ({"logprobs": True, "top_logprobs": 0}, {"logprobs": True}),
        ({"mode": "tool", "max_tool_rounds": 2, "samples": 8, "expected_answer": "5", "stop_when_sure": 0.9},
             {"mode": "tool", "max_tool_rounds": 2, "samples": 8, "expected_answer": "5", "stop_when_sure": 0.9}),
        ({"seed": 7, "n": 3}, {"seed": 7, "samples": 3, "return_samples": True}),
        ({"temperature": 0, "n": 3}, {"temperature": 0}),
        ({"n": 1, "best_of": 1}, {}),
    ],
)  # fmt: skip
def test_fields_become_inputs(fields: dict[str, Any], inputs: dict[str, Any]) -> None:
    assert read(**fields).predictions == ({"prompt": "2+3?"} | inputs,)


@pytest.mark.parametrize(
    "fields",
    [
        {"frequency_penalty": 0, "presence_penalty": 0.0, "repetition_penalty": 1.0, "min_p": 0, "typical_p": 1},
        {"tools": [], "tool_choice": "auto", "functions": [], "function_call": "none", "parallel_tool_calls": True},
        {"response_format": {"type": "text"}, "logit_bias": {}, "suffix": "", "modalities": ["text"]},
        {"store": False, "service_tier": "default", "verbosity": "medium", "reasoning_effort": "medium"},
        {"chat_template_kwargs": {"enable_thinking": False}, "thinking": {"type": "disabled"}, "think": False},
        {"mirostat": 0, "mirostat_tau": 5, "xtc_probability": 0, "xtc_threshold": 0.1, "dry_multiplier": 0},
        {"ignore_eos": False, "skip_special_tokens": True, "min_tokens": 0, "use_beam_search": False},
        {"provider": {}, "usage": {"include": True}, "include_reasoning": True, "transforms": []},
        {"return_progress": True, "reasoning_format": "auto", "timings_per_token": True, "cache_prompt": True},
        {"metadata": {"a": "b"}, "safety_identifier": "x", "prompt_cache_key": "y", "extra_body": {}},
        {"separate_reasoning": True, "stream_reasoning": False, "regex": "", "ebnf": "", "no_stop_trim": False},
        {"mm_processor_kwargs": {}, "vllm_xargs": {}, "logits_processors": [], "guided_decoding_backend": "auto"},
        {"adaptive_target": -1, "adaptive_decay": 0.9, "backend_sampling": False, "lora": [], "t_max_predict_ms": 0},
        {"enable_search": False, "incremental_output": True, "thinking_budget": 0, "tool_stream": True},
        {
            "response_format": {"type": "text", "json_schema": None},
            "reasoning": {"effort": None},
            "logit_bias": {"1": None},
        },
        {"models": [], "fallbacks": [], "search_parameters": {"mode": "off"}},
    ],
)
def test_what_changes_nothing_is_accepted(fields: dict[str, Any]) -> None:
    assert read(**fields).predictions == ({"prompt": "2+3?"},)


TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [TOOL]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"functions": [{"name": "add"}]}, "functions"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ({"response_format": {"type": None, "json_schema": {}}}, "response_format"),
    ({"logit_bias": {"1": 5}}, "logit_bias"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"presence_penalty": -0.5}, "presence_penalty"),
    ({"repetition_penalty": 1.1}, "repetition_penalty"),
    ({"min_p": 0.05}, "min_p"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"verbosity": "low"}, "verbosity"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"store": True}, "store"),
    ({"guided_regex": "[0-9]+"}, "guided_regex"),
    ({"ignore_eos": True}, "ignore_eos"),
    ({"do_sample": True}, "do_sample"),  # greedy is the default here
    ({"incremental_output": False}, "incremental_output"),
    ({"lora": [{"id": 0, "scale": 0.5}]}, "lora"),
    ({"regex": "[0-9]+"}, "regex"),
    ({"extra_body": {"samples": 8}}, "extra_body"),
    ({"best_of": 4}, "best_of"),
    ({"prompt": "2+3="}, "prompt"),
    ({"system_prompt": "Be brief."}, "system_prompt"),
    ({"return_samples": True}, "return_samples"),
    ({"temprature": 1}, "temprature"),
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": "0.7"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 1.5}, "top_p"),
    ({"top_p": False}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -2}, "max_tokens"),
    ({"max_tokens": False}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": "100"}, "max_tokens"),
    ({"max_completion_tokens": 128_000}, "max_completion_tokens"),
    ({"max_tokens": 9, "max_completion_tokens": 10}, "max_tokens"),
    ({"seed": 2**64}, "seed"),
    ({"seed": 0.5}, "seed"),
    ({"seed": "1"}, "seed"),
    ({"stop": list("abcdefghi")}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"stop": 5}, "stop"),
    ({"stop": ["a", None]}, "stop"),
    ({"n": 0}, "n"),
    ({"n": -1}, "n"),
    ({"n": 65}, "n"),
    ({"n": 65, "temperature": 0}, "n"),
    ({"n": 2.0}, "n"),
    ({"n": True}, "n"),
    ({"n": 2, "samples": 8}, "n"),
    ({"n": 2, "stop_when_sure": 0.9}, "stop_when_sure"),
    ({"samples": 65}, "samples"),
    ({"samples": 8, "temperature": 0}, "temperature"),
    ({"stop_when_sure": 0.9}, "stop_when_sure"),
    ({"mode": "reason"}, "mode"),
    ({"tool_loop": "published"}, "tool_loop"),
    ({"logprobs": 1}, "logprobs"),
    ({"logprobs": True, "top_logprobs": 5}, "top_logprobs"),
    ({"top_logprobs": 5}, "top_logprobs"),
    ({"stream": "true"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": True}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "include_usage"),
    ({"stream": True, "stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
    ({"model": 5}, "model"),
]


@pytest.mark.parametrize(("fields", "named"), REFUSED)
def test_what_cannot_be_honoured_is_refused_by_the_client_s_own_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**fields)
    assert refused.value.status == 400
    assert refused.value.param == named
    assert refused.value.body["error"]["type"] == "invalid_request_error"


def test_what_asks_for_nothing_may_stand_in_stream_options() -> None:
    assert not read(stream_options={"include_usage": False}).include_usage
    assert read(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}).include_usage


@pytest.mark.parametrize(
    ("messages", "inputs"),
    [
        ([QUESTION], {"prompt": "2+3?"}),
        ([{"role": "system", "content": "A"}, QUESTION, {"role": "developer", "content": "B"}],
             {"prompt": "2+3?", "system_prompt": "A\n\nB"}),
        ([{"role": "system", "content": "What is 2+3?"}], {"prompt": "What is 2+3?"}),
        ([GREETING, QUESTION], {"prompt": "2+3?", "messages": [GREETING]}),
        ([QUESTION, QUESTION], {"prompt": "2+3?\n\n2+3?"}),
        ([QUESTION, {"role": "assistant", "content": ""}], {"prompt": "2+3?"}),  # a page's place for the answer
        ([QUESTION, {"role": "assistant", "content": ""}, QUESTION], {"prompt": "2+3?\n\n2+3?"}),
        ([QUESTION, GREETING, GREETING, QUESTION],
             {"prompt": "2+3?", "messages": [QUESTION, {"role": "assistant", "content": "Hello!\n\nHello!"}]}),
        ([{"role": "user", "content": [{"type": "text", "text": "2"}, {"type": "input_text", "text": "+3?"}]}],
             {"prompt": "2\n+3?"}),
        ([{"role": "user", "content": [{"type": "text", "text": "2+3?", "cache_control": {"type": "ephemeral"}}]}],
             {"prompt": "2+3?"}),
        ([{**QUESTION, "name": "bob", "id": 5, "type": "text", "timestamp": 1, "opts": {"visible": False}}],
             {"prompt": "2+3?"}),
        ([QUESTION, {"role": "assistant", "content": None, "refusal": "No."}, QUESTION],
             {"prompt": "2+3?", "messages": [QUESTION, {"role": "assistant", "content": "No."}]}),
        ([QUESTION, {**GREETING, "reasoning_content": "Hm.", "tool_calls": [], "audio": None}, QUESTION],
             {"prompt": "2+3?", "messages": [QUESTION, GREETING]}),
    ],
)  # fmt: skip
def test_messages_become_a_conversation(messages: list[dict[str, Any]], inputs: dict[str, Any]) -> None:
    assert read(messages=messages).predictions == (inputs,)


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        (..., "messages"),
        (None, "messages"),
        ([], "messages"),
        ("2+3?", "messages"),
        (["2+3?"], "messages[0]"),
        ([{"content": "2+3?"}], "messages[0].role"),
        ([{"role": "User", "content": "2+3?"}], "messages[0].role"),
        ([{"role": ["user"], "content": "2+3?"}], "messages[0].role"),
        ([QUESTION, {"role": "function", "name": "f", "content": "5"}], "messages[1].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content"),
        ([{"role": "user", "content": [5]}], "messages[0].content"),
        ([{"role": "user", "content": " "}], "messages[0].content"),
        ([QUESTION, GREETING, {"role": "user", "content": ""}], "messages[2].content"),
        ([{"role": "system", "content": ""}], "messages"),
        ([QUESTION, GREETING], "messages[1]"),
        ([QUESTION, GREETING, {"role": "system", "content": "Go on."}], "messages[1]"),
        ([QUESTION, {**GREETING, "prefix": True}, QUESTION], "messages[1].prefix"),
        ([QUESTION, {**GREETING, "tool_calls": [TOOL]}, QUESTION], "messages[1].tool_calls"),
        ([{"role": "user", "content": "\ud800"}], "messages"),
        ([{"role": "user", "content": "1" * 100_001}], "messages"),
    ],
)
def test_messages_that_are_no_conversation_in_text_are_refused_by_their_place(messages: Any, named: str) -> None:
    with pytest.raises(Refused) as refused:
        read(messages=messages) if messages is not ... else Asked.read(b"{}", "chat")
    assert (refused.value.status, refused.value.param) == (400, named)


def test_texts_to_continue_are_taken_as_they_are_each_with_the_same_fields() -> None:
    assert read("text").predictions == ({"prompt": "2+3=", **TEXT_LIMIT},)
    assert read("text", max_tokens=-1).predictions == ({"prompt": "2+3=", "mode": "raw"},)
    both = read("text", prompt=["a", "b"], max_tokens=9, logprobs=0, n=2, seed=1)
    shared = {"mode": "raw", "max_new_tokens": 9, "logprobs": True, "samples": 2, "return_samples": True, "seed": 1}
    assert both.predictions == ({"prompt": "a", **shared}, {"prompt": "b", **shared})
    assert both.choices == 4


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": ["a"] * 65}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"messages": [QUESTION]}, "messages"),
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"logprobs": 5}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_texts_that_cannot_be_continued_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        read("text", **fields)
    assert (refused.value.status, refused.value.param) == (400, named)


@pytest.mark.parametrize("seed", [0, 1, MAX_SEED - MOST_CHOICES])
def test_a_seed_of_the_service_stays_what_it_is(seed: int) -> None:
    asked = read(seed=seed)
    assert (asked.predictions[0]["seed"], asked.seed_shift) == (seed, 0)


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**53 + 1, 2**63 - 1, MAX_SEED])
def test_a_seed_beyond_the_service_s_is_folded_onto_one_of_them_and_known_by_its_own_number(seed: int) -> None:
    asked = read(seed=seed, n=MOST_CHOICES)
    folded = asked.predictions[0]["seed"]
    assert 0 <= folded <= MAX_SEED - MOST_CHOICES
    assert folded + asked.seed_shift == seed
    assert read(seed=seed).predictions[0]["seed"] == folded


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b'{"n": NaN}', b"\xff\xfe", b'{"n": 1} x', b"[" * 100_000]
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        Asked.read(body, "chat")
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


NAMES = [*READ, *RENAMED, *sorted(INPUTS), *NEUTRAL, "unknown", "\ud800"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | ANY, "content": st.text() | ANY}
)


def outcome(body: bytes, kind: Kind) -> Asked | Refused:
    try:
        return Asked.read(body, kind)
    except Refused as refused:
        return refused


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(NAMES), ANY, max_size=4),
    st.lists(MESSAGE, max_size=4) | ANY,
    st.sampled_from(["chat", "text"]),
)
def test_every_body_is_taken_or_refused_in_words_that_can_be_sent(
    fields: dict[str, Any], messages: Any, kind: Kind
) -> None:
    place = {"messages": messages} if kind == "chat" else {"prompt": "2+3="}
    found = outcome(json.dumps({**place, **fields}).encode(), kind)
    if isinstance(found, Refused):
        assert found.status == 400
        assert json.dumps(found.body, ensure_ascii=False).encode()
        return
    assert found.choices >= 1
    assert all(Request.checked(**inputs) for inputs in found.predictions)
