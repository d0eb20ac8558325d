"""Requests as real clients send them, answered as their clients read it.

`tests/data/openai_requests.jsonl` has 82: bodies from public reports (`source`), and those that clients of others were
recorded to send. `$MODEL` stands for the listed id, `$raw` for a body that is no JSON, `$repeat` for a long text. Each
row has the status that is right, of a refusal also what it must name; what else is right stands here.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.local.server import LocalServer
from tests.support.running_door import Streamed, running_door, streamed

Json = dict[str, Any]
ROWS = [json.loads(line) for line in (Path(__file__).parent.parent / "data/openai_requests.jsonl").open()]
ELSEWHERE = {  # rows that need a state of their own: tests/door/test_door.py
    "o097": "every place is taken",
    "o121": "a client that leaves a stream",
    "o122": "a client that leaves while it waits",
}
SETTINGS = {  # of the door, where a row needs some
    "o103": DoorSettings(origins=("http://localhost:5173",)),
    "o104": DoorSettings(api_key="the-key"),
}
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


@pytest.fixture(scope="module")
def door(demo: LocalServer) -> Iterator[httpx.Client]:
    with running_door(demo.url) as client:
        yield client


@pytest.fixture(scope="module")
def model(door: httpx.Client) -> str:
    listed: str = door.get("/v1/models").json()["data"][0]["id"]
    return listed


class Answer:
    """A row's answer, and further requests like it."""

    def __init__(self, row: Json, door: httpx.Client, model: str) -> None:
        self.row, self.door, self.model = row, door, model
        self.response = self.send(row["body"])

    def send(self, body: Any) -> httpx.Response:
        text = body["$raw"] if isinstance(body, dict) and "$raw" in body else json.dumps(filled(body))
        path = self.row["path"].replace("$MODEL_QUOTED", quote(self.model, safe=""))
        content = None if body is None else text.replace("$MODEL", self.model).encode()
        headers = {"Content-Type": "application/json"} | self.row.get("headers", {})
        return self.door.request(self.row["method"], path, content=content, headers=headers)

    @property
    def json(self) -> Json:
        found: Json = self.response.json()
        return found

    @property
    def stream(self) -> Streamed:
        return streamed(self.response)

    @property
    def text(self) -> str:
        return said(self.json)[0]

    def like(self, **changes: Any) -> Json:
        """What the same request with these fields is answered; a field that becomes ... is left out."""
        fields = {**self.row["body"], **changes}
        response = self.send({name: value for name, value in fields.items() if value is not ...})
        assert response.status_code == 200, response.text
        found: Json = response.json()
        return found


def filled(value: Any) -> Any:
    """With what `$repeat` stands for."""
    if isinstance(value, dict) and "$repeat" in value:
        text, times = value["$repeat"]
        return text * times
    if isinstance(value, dict):
        return {name: filled(each) for name, each in value.items()}
    return [filled(each) for each in value] if isinstance(value, list) else value


def said(answer: Json) -> list[str]:
    """The texts of all choices."""
    choices = answer["choices"]
    assert [choice["index"] for choice in choices] == list(range(len(choices)))
    return [choice["message"]["content"] if "message" in choice else choice["text"] for choice in choices]


def read_tokens(answer: Json) -> int:
    tokens: int = answer["usage"]["prompt_tokens"]
    return tokens


def turns(answer: Answer) -> list[Json]:
    found: list[Json] = answer.row["body"]["messages"]
    return found


# What else is right, by row


def same_as_plain_text(answer: Answer) -> None:
    plain = answer.like(messages=[{"role": "user", "content": "What is 18 * 7?"}])
    assert said(plain) == [answer.text]
    assert read_tokens(plain) == read_tokens(answer.json)


def all_parts_are_read(answer: Answer) -> None:
    system, user = turns(answer)
    first = {"role": "user", "content": user["content"][:1]}
    assert read_tokens(answer.like(messages=[system, first])) < read_tokens(answer.json)
    assert read_tokens(answer.like(messages=[user])) < read_tokens(answer.json)
    texts = {"role": "user", "content": "Let x + 3 = 10.\nWhat is 2x?"}
    assert read_tokens(answer.like(messages=[system, texts])) == read_tokens(answer.json)  # no JSON of them


def says_image_url(answer: Answer) -> None:
    assert "image_url" in answer.json["error"]["message"]


def one_choice(answer: Answer) -> None:
    assert len(answer.json["choices"]) == 1
    assert answer.text


def both_system_texts_are_read(answer: Answer) -> None:
    first, second, user = turns(answer)
    for alone in (first, second):
        assert read_tokens(answer.like(messages=[alone, user])) < read_tokens(answer.json)


def every_turn_is_read(answer: Answer) -> None:
    whole = turns(answer)
    for left_out in range(len(whole) - 1):
        rest = whole[:left_out] + whole[left_out + 1 :]
        assert read_tokens(answer.like(messages=rest)) < read_tokens(answer.json), left_out


def empty_system_text_changes_nothing(answer: Answer) -> None:
    plain = answer.like(messages=turns(answer)[1:])
    assert (said(plain), read_tokens(plain)) == ([answer.text], read_tokens(answer.json))


def developer_is_system(answer: Answer) -> None:
    system = {**turns(answer)[0], "role": "system"}
    plain = answer.like(messages=[system, turns(answer)[1]])
    assert (said(plain), read_tokens(plain)) == ([answer.text], read_tokens(answer.json))


def joins_to_the_whole(answer: Answer) -> None:
    whole = answer.like(stream=False)
    assert [answer.stream.texts[0]] == said(whole)
    assert answer.stream.finished[0] == whole["choices"][0]["finish_reason"]


def no_usage(answer: Answer) -> None:
    assert all(chunk["choices"] and "usage" not in chunk for chunk in answer.stream.chunks)


def usage_comes_last(answer: Answer) -> None:
    *others, last = answer.stream.chunks
    assert last["choices"] == []
    assert all(chunk["choices"] and chunk.get("usage") is None for chunk in others)
    whole(last["usage"])


def whole(usage: Json) -> None:
    counts = [usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    assert all(type(count) is int for count in counts)
    assert counts[0] > 0
    assert counts[0] + counts[1] == counts[2]


def is_cut(tokens: int) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        if answer.row["body"].get("stream"):
            assert answer.stream.finished == {0: "length"}
            return
        assert answer.json["choices"][0]["finish_reason"] == "length"
        assert answer.json["usage"]["completion_tokens"] <= tokens

    return check


def without(*stops: str) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        assert not [stop for stop in stops if stop in answer.text]
        assert answer.json["choices"][0]["finish_reason"] in ("stop", "length")

    return check


def cut_before_the_stop_string(answer: Answer) -> None:
    (unstopped,) = said(answer.like(stop=..., stream=False))
    assert answer.stream.texts[0] == unstopped.partition("three f")[0]
    middle = unstopped[len(unstopped) // 2 :][:4]  # one that is there for certain
    (cut,) = said(answer.like(stop=[middle], stream=False))
    assert cut == unstopped.partition(middle)[0]
    again = streamed(answer.send({**answer.row["body"], "stop": [middle]}))
    assert (again.texts[0], again.finished[0]) == (cut, "stop")


def three_texts_of_their_seeds(answer: Answer) -> None:
    texts = said(answer.json)
    assert len(texts) == 3
    assert all(choice["finish_reason"] in ("stop", "length") for choice in answer.json["choices"])
    assert said(answer.like()) == texts
    for number, text in enumerate(texts):
        assert said(answer.like(n=1, seed=5 + number)) == [text]


def two_texts_in_one_stream(answer: Answer) -> None:
    assert list(answer.stream.texts.values()) == said(answer.like(stream=False))
    assert len(answer.stream.finished) == 2


def a_logprob_for_each_token(answer: Answer) -> None:
    content = answer.json["choices"][0]["logprobs"]["content"]
    assert len(content) == answer.json["usage"]["completion_tokens"]
    assert all(entry["logprob"] <= 0 and entry["top_logprobs"] == [] for entry in content)
    assert "".join(entry["token"] for entry in content) == answer.text
    assert b"".join(bytes(entry["bytes"]) for entry in content) == answer.text.encode()


def no_logprobs(answer: Answer) -> None:
    assert answer.json["choices"][0]["logprobs"] is None


def at_most_sixteen(answer: Answer) -> None:
    assert answer.json["usage"]["completion_tokens"] <= 16


def same_twice(answer: Answer) -> None:
    assert said(answer.like()) == [answer.text]
    seed = answer.row["body"]["seed"]
    assert answer.json["deepseek_math"]["seed"] == seed


def same_twice_without_a_stop_string(answer: Answer) -> None:
    without("Question:", "</s>", "<|im_end|>")(answer)
    same_twice(answer)


def a_list_of_models(answer: Answer) -> None:
    assert answer.json["object"] == "list"
    assert answer.json["data"]
    for entry in answer.json["data"]:
        a_model(entry)


def a_model(entry: Json) -> None:
    assert (type(entry["id"]), entry["object"], type(entry["created"]), type(entry["owned_by"])) == (
        str,
        "model",
        int,
        str,
    )


def names_both_models(answer: Answer) -> None:
    message = answer.json["error"]["message"]
    assert "gpt-4o-mini" in message
    assert answer.model in message


def a_vote_beside_one_choice(answer: Answer) -> None:
    assert len(answer.json["choices"]) == 1
    votes = answer.json["deepseek_math"]["votes"]
    assert votes[0]["answer"] == answer.json["deepseek_math"]["answer"]
    assert answer.json["deepseek_math"]["samples_used"] <= 8


def the_other_penalty_too(answer: Answer) -> None:
    body = {**answer.row["body"], "frequency_penalty": 0, "presence_penalty": 0.6}
    error = answer.send(body).json()["error"]
    assert error["param"] == "presence_penalty"


def param_is_messages(answer: Answer) -> None:
    assert answer.json["error"]["param"] == "messages"


def one_and_a_half_is_fine(answer: Answer) -> None:
    answer.like(temperature=1.5, max_tokens=4)


def headers_are_allowed(answer: Answer) -> None:
    asked = answer.row["headers"]["Access-Control-Request-Headers"].split(",")
    allowed = {name.strip().lower() for name in answer.response.headers["Access-Control-Allow-Headers"].split(",")}
    assert set(asked) <= allowed
    assert answer.response.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"


def the_key_is_not_said(answer: Answer) -> None:
    assert "not-the-key" not in answer.response.text


def arrives_unchanged(answer: Answer) -> None:
    """The prompt's tokens are those that the service counts for the same text."""
    body = {**answer.row["body"], "stream": False}
    whole = answer.send(body).json()
    assert answer.stream.texts[0].isprintable() or "\n" in answer.stream.texts[0]
    escaped = answer.send({**body, "messages": [{"role": "user", "content": "Simplify 6/8."}]}).json()
    assert read_tokens(whole) > read_tokens(escaped)


def both_turns_are_read(answer: Answer) -> None:
    assert read_tokens(answer.like(messages=turns(answer)[-1:])) < read_tokens(answer.json)


def empty_lists_too(answer: Answer) -> None:
    first, second, third = turns(answer)
    answer.like(messages=[first, {**second, "tool_calls": [], "annotations": []}, third])


def a_choice_for_each_prompt(answer: Answer) -> None:
    alone = [said(answer.like(prompt=prompt))[0] for prompt in answer.row["body"]["prompt"]]
    assert said(answer.json) == alone


def greedy(answer: Answer) -> None:
    assert said(answer.like(top_p=..., temperature=0)) == [answer.text]


CHECKS: dict[str, Callable[[Answer], None]] = {
    "o001": same_as_plain_text,
    "o002": all_parts_are_read,
    "o003": says_image_url,
    "o007": one_choice,
    "o008": one_choice,
    "o009": one_choice,
    "o011": both_system_texts_are_read,
    "o012": every_turn_is_read,
    "o013": empty_system_text_changes_nothing,
    "o015": developer_is_system,
    "o016": developer_is_system,
    "o022": joins_to_the_whole,
    "o024": no_usage,
    "o030": usage_comes_last,
    "o031": lambda answer: whole(answer.json["usage"]),
    "o035": is_cut(3),
    "o036": is_cut(3),
    "o038": without("STOP"),
    "o039": without("Q:", "\n\n"),
    "o040": cut_before_the_stop_string,
    "o044": three_texts_of_their_seeds,
    "o045": two_texts_in_one_stream,
    "o051": a_logprob_for_each_token,
    "o052": no_logprobs,
    "o056": is_cut(7),
    "o059": at_most_sixteen,
    "o062": same_twice_without_a_stop_string,
    "o063": same_twice,
    "o066": a_list_of_models,
    "o067": lambda answer: a_model(answer.json),
    "o068": names_both_models,
    "o078": a_vote_beside_one_choice,
    "o091": param_is_messages,
    "o092": one_and_a_half_is_fine,
    "o094": the_other_penalty_too,
    "o103": headers_are_allowed,
    "o104": the_key_is_not_said,
    "o107": joins_to_the_whole,
    "o108": joins_to_the_whole,
    "o109": arrives_unchanged,
    "o111": both_turns_are_read,
    "o112": both_turns_are_read,
    "o113": empty_lists_too,
    "o118": a_choice_for_each_prompt,
    "o119": greedy,
}


def refused(answer: Answer) -> None:
    """What every refusal has: OpenAI's four keys, and the field by its name."""
    row = answer.row
    assert answer.response.headers["content-type"] == "application/json"
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert row.get("names", "") in (error["param"] or "") or row["names"] in error["message"]
    assert error["code"] == row.get("code", error["code"])
    assert error["type"] == row.get("type", error["type"])


@pytest.mark.parametrize("row", [row for row in ROWS if row["id"] not in ELSEWHERE], ids=lambda row: row["id"])
def test_a_client_s_request_is_answered_as_it_reads_it(
    row: Json, door: httpx.Client, model: str, demo: LocalServer
) -> None:
    settings = SETTINGS.get(row["id"])
    if settings is None:
        check(Answer(row, door, model))
        return
    with running_door(demo.url, settings) as own:
        check(Answer(row, own, model))


def check(answer: Answer) -> None:
    assert answer.response.status_code == answer.row["status"], answer.response.text
    if answer.row["status"] >= 400:
        refused(answer)
    elif "choices" in answer.response.text[:500] and not answer.row["body"].get("stream"):
        said(answer.json)
    elif answer.row["body"] and answer.row["body"].get("stream"):
        assert answer.stream.finished
    if answer.row["id"] in CHECKS:
        CHECKS[answer.row["id"]](answer)


def test_all_requests_are_there() -> None:
    assert len({row["id"] for row in ROWS}) == 82
    assert {*CHECKS, *ELSEWHERE} <= {row["id"] for row in ROWS}
