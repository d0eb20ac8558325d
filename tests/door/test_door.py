"""The door before a real service: clients that leave, no place, many streams, the key, what is counted."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.errors import ServiceError
from deepseek_math.local import client
from deepseek_math.local.server import LocalServer
from tests.conftest import ONE_THREAD
from tests.support.running_door import running_door, streamed

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
LONG = 3000  # tokens; the random model goes on for so long


def question(text: str = "Tell me of numbers.", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def long(**fields: Any) -> dict[str, Any]:
    return question(max_tokens=LONG, seed=1, temperature=1, **fields)


# A service with one place


@pytest.fixture(scope="module")
def narrow(random_model: Path) -> Iterator[LocalServer]:
    with LocalServer(environment={"CHECKPOINT": str(random_model), **ONE_THREAD}, concurrency=1) as server:
        yield server


def ended(server: LocalServer, reason: str) -> list[int]:
    """The tokens of each prediction that the service's log says ended so."""
    lines = [line for line in server.log.read_text().splitlines() if "metrics: {" in line]
    metrics = [json.loads(json.loads(line)["fields"]["message"].partition("metrics: ")[2]) for line in lines]
    return [each["completion_tokens"] for each in metrics if each.get("finish_reason") == reason]


def one_more_ended(server: LocalServer, reason: str, before: list[int]) -> int:
    """The tokens of the prediction that ends so after those `before`."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = ended(server, reason)
        if len(now) > len(before):
            return now[-1]
        time.sleep(0.05)
    raise AssertionError(f"no further prediction ended with {reason}")


def test_a_request_that_finds_no_place_is_told_when_to_come_again(narrow: LocalServer) -> None:
    with (
        running_door(narrow.url, patience=0.3) as door,
        door.stream("POST", CHAT, json=long(stream=True)) as holding,
    ):
        lines = holding.iter_lines()
        next(lines)
        for body in (question(max_tokens=4), question(max_tokens=4, stream=True)):
            answer = door.post(CHAT, json=body)
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            error = answer.json()["error"]
            assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "service_full", None)
        assert 'refused_total{code="service_full"} 2.0' in door.get("/metrics").text


def test_a_client_that_leaves_a_stream_frees_the_engine(narrow: LocalServer) -> None:
    before = ended(narrow, "cancelled")
    with running_door(narrow.url) as door:
        with door.stream("POST", CHAT, json=long(stream=True)) as leaving:
            lines = (line for line in leaving.iter_lines() if line)
            for _ in range(3):
                next(lines)
        assert door.post(CHAT, json=question(max_tokens=4)).status_code == 200  # in the one place there is
    assert one_more_ended(narrow, "cancelled", before) < LONG


@pytest.mark.parametrize("fields", [{}, {"n": 2}])
def test_a_client_that_leaves_while_it_waits_frees_the_engine(narrow: LocalServer, fields: dict[str, Any]) -> None:
    before = ended(narrow, "cancelled")
    with running_door(narrow.url) as door:
        with pytest.raises(httpx.ReadTimeout):
            door.post(CHAT, json=long(**fields), timeout=1.0)
        assert door.post(CHAT, json=question(max_tokens=4)).status_code == 200
        assert 'status="499"' in door.get("/metrics").text
    assert one_more_ended(narrow, "cancelled", before) < 2 * LONG


# Many streams, and large ones


def test_sixteen_streams_at_once_say_what_predictions_of_their_seeds_say(server: LocalServer) -> None:
    def through_the_door(seed: int) -> str:
        body = question(stream=True, seed=seed, temperature=1, max_tokens=24)
        return streamed(door_client.post(CHAT, json=body)).texts[0]

    def by_prediction(seed: int) -> str:
        inputs = {"prompt": "Tell me of numbers.", "seed": seed, "temperature": 1.0, "max_new_tokens": 24}
        *_, final = client.stream(server.url, inputs, patience=60)
        return "".join(final.data["output"])

    with running_door(server.url, patience=60) as door_client, ThreadPoolExecutor(16) as threads:
        streams = list(threads.map(through_the_door, range(16)))
        predictions = list(threads.map(by_prediction, range(16)))
    assert streams == predictions
    assert len(set(streams)) == 16


def test_a_large_vote_comes_in_events_that_are_not_too_large(server: LocalServer) -> None:
    body = question(stream=True, seed=3, temperature=1, max_tokens=700, n=3, logprobs=True)
    with running_door(server.url, patience=60) as door:
        read = streamed(door.post(CHAT, json=body))
    assert set(read.texts) == {0, 1, 2}
    assert min(map(len, read.texts.values())) > 3000  # of 700 tokens each, whose likelihoods take 100 bytes a token
    tokens = [
        entry for chunk in read.with_choices for entry in (chunk["choices"][0]["logprobs"] or {}).get("content", ())
    ]
    assert len(tokens) == read.extra["completion_tokens"]
    assert sorted(sample["seed"] for sample in read.extra["samples"]) == [3, 4, 5]


# What the demo is asked


@pytest.fixture(scope="module")
def door(demo: LocalServer) -> Iterator[httpx.Client]:
    with running_door(demo.url) as client:
        yield client


def test_all_choices_of_a_vote_recount_to_its_tally(door: httpx.Client) -> None:
    answer = door.post(CHAT, json=question("What is 1234 * 56?", n=6, temperature=1.2, seed=2)).json()
    extra = answer["deepseek_math"]
    assert extra["samples_used"] == 6
    by_seed = {sample["seed"]: sample["answer"] for sample in extra["samples"]}
    assert sorted(by_seed) == list(range(2, 8))
    silent = [answer for answer in by_seed.values() if answer is None]
    assert sum(group["count"] for group in extra["votes"]) + len(silent) == 6
    assert answer["usage"]["completion_tokens"] == sum(sample["tokens"] for sample in extra["samples"])


def test_greedy_choices_are_one_text_that_is_drawn_once_and_all_of_it_counts(door: httpx.Client) -> None:
    once = door.post(CHAT, json=question("12+30?", temperature=0)).json()
    twice = door.post(CHAT, json=question("12+30?", temperature=0, n=2)).json()
    (text,) = [choice["message"]["content"] for choice in once["choices"]]
    assert [choice["message"]["content"] for choice in twice["choices"]] == [text, text]
    assert twice["usage"]["completion_tokens"] == 2 * once["usage"]["completion_tokens"]
    assert twice["usage"]["prompt_tokens"] == once["usage"]["prompt_tokens"]


def test_the_answer_s_check_stands_beside_the_choices(door: httpx.Client) -> None:
    body = question("What is 12 + 30?", expected_answer="84/2", temperature=0)
    answer = door.post(CHAT, json=body).json()["deepseek_math"]
    assert (answer["answer"], answer["correct"], answer["answer_source"]) == ("42", True, "boxed")
    assert streamed(door.post(CHAT, json={**body, "stream": True})).extra["correct"] is True


def test_log_probabilities_of_a_text_come_in_the_form_of_completions(door: httpx.Client) -> None:
    body = {"prompt": "2 + 3 =", "max_tokens": 6, "logprobs": 0, "temperature": 0}
    choice = door.post(TEXT, json=body).json()["choices"][0]
    logprobs = choice["logprobs"]
    assert "".join(logprobs["tokens"]) == choice["text"]
    for offset, token in zip(logprobs["text_offset"], logprobs["tokens"], strict=True):
        assert choice["text"][offset:].startswith(token)
    assert all(value <= 0 for value in logprobs["token_logprobs"])


# What stands before the routes


def test_a_key_is_asked_for_everywhere_but_by_probes(demo: LocalServer) -> None:
    with running_door(demo.url, DoorSettings(api_key="secret")) as door:
        for headers in ({}, {"Authorization": "Bearer Secret"}, {"Authorization": "secret"}):
            for path in ("/v1/models", "/v1/nothing", CHAT):
                answer = door.get(path, headers=headers)
                assert answer.status_code == 401
                assert answer.json()["error"]["code"] == "invalid_api_key"
        for right in ("Bearer secret", "bearer  secret"):
            assert door.get("/v1/models", headers={"Authorization": right}).status_code == 200
        assert door.get("/health").json() == {"status": "READY"}
        assert 'refused_total{code="invalid_api_key"} 9.0' in door.get("/metrics").text


def test_scripts_of_other_pages_are_let_in_by_name_alone(demo: LocalServer, door: httpx.Client) -> None:
    here, elsewhere = {"Origin": "http://localhost:5173"}, {"Origin": "http://evil.example"}
    assert "access-control-allow-origin" not in door.get("/v1/models", headers=here).headers
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-stainless-os"}
    with running_door(demo.url, DoorSettings(api_key="secret", origins=("http://localhost:5173",))) as open_door:
        allowed = open_door.options(CHAT, headers=here | preflight)
        assert allowed.status_code == 200  # a browser sends no key with it
        refused = open_door.get("/v1/models", headers=here)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, here["Origin"])
        assert "access-control-allow-origin" not in open_door.get("/v1/models", headers=elsewhere).headers


@pytest.mark.unit
def test_settings_of_the_door_are_checked() -> None:
    read = DoorSettings.read({"API_KEY": " k ", "CORS_ORIGINS": "http://a.example, http://localhost:1"})
    assert read == DoorSettings("k", ("http://a.example", "http://localhost:1"))
    assert "k" not in repr(DoorSettings("k"))
    assert DoorSettings.read({}) == DoorSettings()
    for wrong in ({"API_KEY": "ключ"}, {"CORS_ORIGINS": "localhost"}, {"CORS_ORIGINS": "http://a.example/"}):
        with pytest.raises(ServiceError, match="setting_invalid"):
            DoorSettings.read(wrong)


def test_an_address_that_is_not_there_is_an_error_in_json(door: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/", 404),
        ("POST", "/v1/embeddings", 404),
        ("POST", "/v1/responses", 404),
        ("POST", "/chat/completions", 404),
        ("GET", CHAT, 405),
        ("GET", "/v1/models/other", 404),
        ("GET", "/v1/models/a%2Fb", 404),
    ):
        answer = door.request(method, path)
        assert (answer.status_code, set(answer.json()["error"])) == (status, {"message", "type", "param", "code"}), path


def test_a_body_that_is_too_long_or_compressed_is_refused(door: httpx.Client) -> None:
    answer = door.post(CHAT, content=b" " * (2**24 + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_long")
    answer = door.post(CHAT, content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "encoding_not_offered")


def test_a_field_s_name_that_is_no_text_is_refused_like_any_other(door: httpx.Client) -> None:
    answer = door.post(CHAT, content=b'{"messages": [{"role": "user", "content": "x"}], "\\ud800": 1}')
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "?")


def test_a_model_may_be_called_by_its_alias_or_left_empty(door: httpx.Client) -> None:
    assert door.post(CHAT, json=question(model="", max_tokens=2)).json()["model"] == "tiny-rl"
    assert door.get("/v1/models/").json() == door.get("/v1/models").json()
    assert door.post(CHAT, json=question(model="demo", max_tokens=2)).status_code == 200
    listed = door.get("/v1/models/demo").json()
    assert (listed["id"], listed["max_model_len"]) == ("tiny-rl", 4096)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_over_the_context_is_called_as_the_client_calls_it(door: httpx.Client, name: str) -> None:
    error = door.post(CHAT, json=question() | {name: 4096}).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert f"Lower {name} to " in error["message"]
    assert "max_new_tokens" not in error["message"]


def test_what_happened_is_counted(demo: LocalServer) -> None:
    with running_door(demo.url) as door:
        used = [
            door.post(CHAT, json=question("What is 12 + 30?", mode=mode, max_tokens=400, seed=1)).json()["usage"]
            for mode in ("cot", "tool")
        ]
        door.post(CHAT, json=question(n=0))
        text = door.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def value(name: str) -> float:
        return float(lines[f"deepseek_math_{name}"])

    assert value('requests_total{endpoint="chat",mode="cot",status="200"}') == 1
    assert value('requests_total{endpoint="chat",mode="tool",status="200"}') == 1
    assert value('requests_total{endpoint="chat",mode="none",status="400"}') == 1
    assert value('refused_total{code="invalid_value"}') == 1
    assert value("prompt_tokens_total") == sum(usage["prompt_tokens"] for usage in used)
    assert value("completion_tokens_total") == sum(usage["completion_tokens"] for usage in used)
    assert value("time_to_first_token_seconds_count") == 2
    assert value("tokens_per_second_count") == 2
    assert value('programs_total{ended="well"}') + value('programs_total{ended="error"}') >= 1
    assert value("running") == value("waiting") == 0
