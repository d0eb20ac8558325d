"""OpenAI's batch files: what a body asks, what it can't, and the form of an answer."""

from pathlib import Path
from typing import Any

import pytest

from deepseek_math.batch.input_file import RawRow
from deepseek_math.batch.openai_form import OpenAIForm
from deepseek_math.batch.question_file import open_questions
from deepseek_math.batch.row import RESULTS, checked
from deepseek_math.jobs import JobError

pytestmark = pytest.mark.unit

FORM = OpenAIForm({})
QUESTION = {"role": "user", "content": "1+1?"}


def columns(url: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
    if "chat" in url:
        body = {"messages": [QUESTION]} | body
    return {"custom_id": "a", "method": "POST", "url": url, "body": {"model": "gpt-4o"} | body}


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ({}, {}),
        ({"max_tokens": 9, "temperature": 0, "seed": 0}, {"max_tokens": 9, "temperature": 0, "seed": 0}),
        ({"max_completion_tokens": 9, "max_tokens": None}, {"max_completion_tokens": 9}),
        ({"stop": "\n"}, {"stop": ["\n"]}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"n": 1, "stream": False, "presence_penalty": 0, "tools": [], "user": "me", "logprobs": None},
             {"presence_penalty": 0}),
        ({"samples": 8, "expected_answer": "2", "mode": "cot"}, {"samples": 8, "expected_answer": "2", "mode": "cot"}),
    ],
)  # fmt: skip
def test_a_body_s_fields_become_inputs(body: dict[str, Any], inputs: dict[str, Any]) -> None:
    assert FORM.inputs(columns(**body)) == {"prompt": "1+1?"} | inputs


def test_a_conversation_becomes_its_turns() -> None:
    parts = [{"type": "text", "text": "2"}, {"type": "text", "text": "+2?"}]
    turns = [
        {"role": "system", "content": "Short."},
        QUESTION,
        {"role": "assistant", "content": "2."},
        {"role": "user", "content": parts},
    ]
    earlier = [QUESTION, {"role": "assistant", "content": "2."}]
    assert FORM.inputs(columns(messages=turns)) == {
        "prompt": "2+2?",
        "messages": earlier,
        "system_prompt": "Short.",
    }


def test_a_text_to_continue_is_taken_as_it_is() -> None:
    assert FORM.inputs(columns("/v1/completions", prompt="1+1=", max_tokens=3)) == {
        "prompt": "1+1=",
        "mode": "raw",
        "max_tokens": 3,
    }


def test_two_names_of_one_input_that_disagree_are_refused_and_an_option_gives_way_to_either() -> None:
    fault = checked(RawRow(1, columns(max_tokens=5, max_completion_tokens=9)), FORM).fault
    assert fault is not None
    assert (fault.code, "max_tokens is 5 and max_completion_tokens is 9" in fault.message) == ("names_disagree", True)
    for name in ("max_new_tokens", "max_tokens"):
        inputs = OpenAIForm({name: 7, "seed": 1}).inputs(columns(max_completion_tokens=9))
        assert inputs == {"prompt": "1+1?", "max_completion_tokens": 9, "seed": 1}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (columns(n=2), "body.n is 2"),
        (columns(stream=True), "body.stream is True"),
        (columns(logprobs=True), "body.logprobs is True"),
        (columns(return_samples=True), "body.return_samples is True"),
        (columns(tools=[{"type": "function"}]), "body.tools is"),
        (columns(response_format={"type": "json_object"}), "body.response_format"),
        (columns(surprise=1), "body.surprise is 1"),
        (columns(messages=[]), "does not end with a turn of the user"),
        (columns(messages=[QUESTION, {"role": "assistant", "content": "2"}]), "does not end with a turn of the user"),
        (columns(messages=[{"role": "user", "content": [{"type": "image_url"}]}]), "Images and the like"),
        (columns(messages="1+1?"), "not a list of objects"),
        (columns("/v1/completions", prompt=["a", "b"]), "Write a row for each prompt"),
        (columns("/v1/embeddings"), "url is '/v1/embeddings'"),
        ({"custom_id": 5, "body": {}}, "needs custom_id, a text, and body, an object"),
        ({"custom_id": "b"}, "needs custom_id, a text, and body, an object"),
    ],
)
def test_what_can_t_be_honoured_is_refused_by_name(row: dict[str, Any], words: str) -> None:
    fault = checked(RawRow(1, row), FORM).fault
    assert fault is not None
    assert (fault.code, words in fault.message) == ("row_invalid", True), fault


LINE = dict.fromkeys(RESULTS) | {"row": 1, "key": "0f", "at": 5}


def test_an_answer_has_openai_s_form_and_ours_beside_it() -> None:
    line = LINE | {"completion": "\\boxed{2}", "answer": "2", "finish_reason": "stop_string"}
    line |= {"prompt_tokens": 3, "completion_tokens": 4}
    answer = FORM.written(columns(), line, "rl")
    assert (answer["custom_id"], answer["error"], answer["response"]["status_code"]) == ("a", None, 200)
    body = answer["response"]["body"]
    assert (body["object"], body["model"], body["answer"]) == ("chat.completion", "rl", "2")
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "\\boxed{2}"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    text = FORM.written(columns("/v1/completions"), line, "rl")["response"]["body"]
    assert (text["object"], text["choices"][0]["text"]) == ("text_completion", "\\boxed{2}")


def test_a_failure_is_seen_by_those_who_look_at_error_and_by_those_who_look_at_the_status() -> None:
    answer = FORM.written(columns(), LINE | {"error_code": "context_exceeded", "error": "Too long."}, "rl")
    assert answer["error"] == {"code": "context_exceeded", "message": "Too long."}
    assert answer["response"]["status_code"] == 400
    assert answer["response"]["body"]["error"]["code"] == "context_exceeded"


def test_two_rows_of_one_custom_id_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    row = '{"custom_id": "a", "body": {"messages": [{"role": "user", "content": "?"}]}}\n'
    file.write_text(row.replace('"a"', '"b"') + row * 2)
    with pytest.raises(JobError, match="Rows 2 and 3 have the same custom_id, 'a'"):
        open_questions(file, "q", "jsonl", {}, {}, "").survey()
