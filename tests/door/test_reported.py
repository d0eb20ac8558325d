"""Requests that clients were reported to send: what each asks of the service, or the field that is refused."""

import json
from typing import Any

import pytest

from deepseek_math.door.asked import Asked
from deepseek_math.door.refusals import Refused

pytestmark = pytest.mark.unit

QUESTION = {"role": "user", "content": "What is 12 + 30?"}
NEXT = {"role": "user", "content": "And 2 more?"}
ANSWER = {"role": "assistant", "content": "42"}
TALK = {"messages": [QUESTION, ANSWER], "prompt": "And 2 more?"}
ONE_TURN = {"prompt": "What is 12 + 30?\n\nAnd 2 more?"}


def after(**assistant: Any) -> dict[str, Any]:
    return {"messages": [QUESTION, {"role": "assistant", **assistant}, NEXT]}


def user(**message: Any) -> dict[str, Any]:
    return {"messages": [QUESTION | message]}


TAKEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("freellmapi#165: an answer without a text", after(content=""), ONE_TURN),
    ("magnitude#42: a turn of thoughts alone, in vLLM's words", after(content=None, reasoning="hm"), ONE_TURN),
    ("DeepSeek's thoughts beside a null", after(content=None, reasoning_content="hm"), ONE_TURN),
    ("parts of an answer that are its thoughts", after(content=[{"type": "thinking", "thinking": "hm"}]), ONE_TURN),
    (
        "thoughts and a text",
        after(content=[{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "42"}]),
        TALK,
    ),
    ("openai-python: an answer as it came", after(content="42", tool_calls=None, refusal=None), TALK),
    ("LangChain: an empty list of calls", after(content="42", tool_calls=[]), TALK),
    ("opencode#42613: the parts of the other API", after(content=[{"type": "output_text", "text": "42"}]), TALK),
    ("vllm#10463: CodeCompanion's notes", user(id=1947269257, opts={"visible": False}), {}),
    ("OmniRoute#300: an empty name", user(name=""), {}),
    (
        "Anthropic's mark of a cache",
        user(content=[{"type": "text", "text": "x", "cache_control": {}}]),
        {"prompt": "x"},
    ),
    (
        "LibreChat#1780: who asks",
        {"user": "da8b", "presence_penalty": 0, "frequency_penalty": 0, "top_p": 1},
        {"top_p": 1},
    ),
    ("LibreChat#1336: its stops", {"stop": ["||>", "\nUser:"]}, {"stop": ["||>", "\nUser:"]}),
    ("n8n: no limit", {"max_tokens": -1}, {}),
    ("an empty list of tools and a choice", {"tools": [], "tool_choice": "auto"}, {}),
    ("a choice without tools", {"tools": None, "tool_choice": "none", "parallel_tool_calls": True}, {}),
    ("an empty stop", {"stop": []}, {"stop": []}),
    ("SillyTavern: the seed that means any", {"temperature": 1, "seed": -1}, {"temperature": 1}),
    ("vLLM's no limit", {"top_k": -1, "min_p": 0, "repetition_penalty": 1}, {"top_k": 0}),
    ("Qwen's clients: no thoughts", {"chat_template_kwargs": {"enable_thinking": False}}, {}),
    ("OpenAI's service: what it keeps", {"store": False, "metadata": {"a": "b"}, "service_tier": "auto"}, {}),
    ("a format that is none", {"response_format": {"type": "text"}, "modalities": ["text"]}, {}),
    ("no log-probabilities", {"logprobs": False, "top_logprobs": None}, {}),
    ("LM Studio: how long a model stays", {"ttl": 300}, {}),
]

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("vercel/ai#14950: null without a call of a tool", after(content=None), "messages[1].content"),
    ("extended_openai_conversation#456: no content at all", after(), "messages[1].content"),
    ("an answer of no parts", after(content=[]), "messages[1].content"),
    ("an empty thought", after(content=None, reasoning_content=""), "messages[1].content"),
    ("a user's null is no question", user(content=None), "messages[0].content"),
    (
        "lmstudio-bug-tracker#261: a call of a tool",
        after(content=None, tool_calls=[{"id": "1"}]),
        "messages[1].tool_calls",
    ),
    ("ninfer#110: a tool's word", {"messages": [QUESTION, {"role": "tool", "content": "ok"}]}, "messages[1].role"),
    ("a user's thoughts", user(content=[{"type": "thinking", "thinking": "hm"}]), "messages[0].content"),
    ("an answer begun", {"messages": [QUESTION, ANSWER]}, "messages[1]"),
    ("a part without a type", user(content=[{"text": "x"}]), "messages[0].content"),
    ("a role in capitals", {"messages": [{"role": "System", "content": "x"}, QUESTION]}, "messages[0].role"),
    ("a number as a text", {"temperature": "0.7"}, "temperature"),
    ("Home Assistant: a number as a text", {"max_tokens": "150"}, "max_tokens"),
    ("a flag as a text", {"stream": "true"}, "stream"),
    ("llama.cpp's default", {"min_p": 0.05}, "min_p"),
    ("Ollama's default", {"repeat_penalty": 1.1}, "repeat_penalty"),
    ("Continue: Ollama's options", {"options": {"num_ctx": 4096}}, "options"),
    ("Cline: Ollama's context", {"num_ctx": 4096}, "num_ctx"),
    ("fields left in their wrapping", {"extra_body": {"samples": 4}}, "extra_body"),
    ("SkyrimNet-GamePlugin#77: thoughts", {"reasoning": {"effort": "high"}}, "reasoning"),
    ("JSON alone", {"response_format": {"type": "json_object"}}, "response_format"),
    ("a tool that must be called", {"tools": [], "tool_choice": "required"}, "tool_choice"),
    ("a ban of a token", {"logit_bias": {"50256": -100}}, "logit_bias"),
    ("the other API's name", {"input": "x"}, "input"),
    ("our input that is no text", {"expected_answer": 42}, "expected_answer"),
    ("a system's text of no bound", {"messages": [{"role": "system", "content": "a" * 100_001}, QUESTION]}, "messages"),
]


def read(fields: dict[str, Any]) -> Asked:
    return Asked.read(json.dumps({"messages": [QUESTION], **fields}).encode(), "chat")


@pytest.mark.parametrize(("fields", "inputs"), [pytest.param(*row[1:], id=row[0]) for row in TAKEN])
def test_what_clients_send_is_taken(fields: dict[str, Any], inputs: dict[str, Any]) -> None:
    (prediction,) = read(fields).predictions
    asked = dict(prediction)
    if "seed" in fields:
        assert isinstance(asked.pop("seed"), int)
    assert asked == {"prompt": QUESTION["content"], **inputs}


@pytest.mark.parametrize(("fields", "param"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_what_can_t_be_honoured_is_refused_by_its_place(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        read(fields)
    assert (refused.value.status, refused.value.param) == (400, param)
