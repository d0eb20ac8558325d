"""The door before a model at Replicate: the stand-in of its API before a real service."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deepseek_math.door.replicate import ReplicateUpstream, upstream
from deepseek_math.errors import ServiceError
from deepseek_math.local.server import LocalServer
from tests.support.loopback import running
from tests.support.replicate_api import MODEL, TERMINAL, TOKEN, VERSION, ReplicateApi
from tests.support.running_door import running_door, streamed

CHAT = "/v1/chat/completions"


@pytest.fixture
def api(demo: LocalServer) -> Iterator[ReplicateApi]:
    with running(ReplicateApi(demo.url)) as api:
        yield api


@pytest.fixture
def door(api: ReplicateApi) -> Iterator[httpx.Client]:
    with running_door(ReplicateUpstream(MODEL, None, TOKEN, api.url)) as client:
        yield client


def question(text: str = "What is 1234 * 56?", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_the_model_is_known_by_its_name_at_replicate(door: httpx.Client) -> None:
    assert [model["id"] for model in door.get("/v1/models").json()["data"]] == [MODEL]
    assert door.get(f"/v1/models/{MODEL}").json()["id"] == MODEL
    assert door.get("/health").json() == {"status": "READY"}


def test_an_answer_is_what_the_service_itself_gives(door: httpx.Client, demo: LocalServer) -> None:
    fields: dict[str, Any] = {"seed": 3, "temperature": 0.7, "expected_answer": "69104"}
    with running_door(demo.url) as direct:
        expected = direct.post(CHAT, json=question(**fields)).json()
    whole = door.post(CHAT, json=question(model=MODEL, **fields)).json()
    assert whole["choices"] == expected["choices"]
    assert whole["usage"] == expected["usage"]
    assert whole["deepseek_math"]["answer"] == expected["deepseek_math"]["answer"]
    assert whole["system_fingerprint"] == VERSION
    stream = streamed(door.post(CHAT, json=question(stream=True, stream_options={"include_usage": True}, **fields)))
    assert stream.texts[0] == expected["choices"][0]["message"]["content"]
    assert stream.chunks[-1]["usage"] == expected["usage"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_service_refuses_is_refused_before_the_first_byte(door: httpx.Client, stream: bool) -> None:
    answer = door.post(CHAT, json=question("one and " * 6000, stream=stream))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_a_client_that_leaves_ends_the_prediction_at_replicate(server: LocalServer) -> None:
    with (
        running(ReplicateApi(server.url)) as api,
        running_door(ReplicateUpstream(MODEL, None, TOKEN, api.url)) as door,
    ):
        long = question(stream=True, max_tokens=3000, temperature=1)
        with door.stream("POST", CHAT, json=long) as leaving:
            next(leaving.iter_lines())
        (prediction,) = api.predictions.values()
        deadline = time.monotonic() + 60
        while prediction.status not in TERMINAL:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert prediction.status == "canceled"


@pytest.mark.parametrize("fields", [{"n": 2, "temperature": 1}, {"logprobs": True}])
def test_what_replicate_does_not_pass_on_is_refused_before_any_work(
    fields: dict[str, Any], door: httpx.Client, api: ReplicateApi
) -> None:
    error = door.post(CHAT, json=question(**fields)).json()["error"]
    assert (error["code"], error["param"]) == ("not_offered", next(iter(fields)))
    assert not api.predictions


def test_a_wrong_token_or_version_is_said_in_replicate_s_words(api: ReplicateApi) -> None:
    for behind, said in (
        (ReplicateUpstream(MODEL, None, "wrong", api.url), "401: You did not pass a valid authentication token"),
        (ReplicateUpstream(MODEL, "0" * 64, TOKEN, api.url), "422: The specified version does not exist"),
        (ReplicateUpstream("you/nothing", None, TOKEN, api.url), "404: The requested resource could not be found"),
    ):
        with running_door(behind) as client:
            answer = client.post(CHAT, json=question())
            assert answer.status_code == 502
            assert said in answer.json()["error"]["message"]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("url", "environment", "said"),
    [
        ("replicate:deepseek-math", {"REPLICATE_API_TOKEN": "r8_x"}, "Use replicate:owner/name"),
        ("replicate:you/math:latest", {"REPLICATE_API_TOKEN": "r8_x"}, "Use replicate:owner/name"),
        ("replicate:you/math", {}, "REPLICATE_API_TOKEN is not set"),
        ("replicate:you/math", {"REPLICATE_API_TOKEN": " "}, "REPLICATE_API_TOKEN is not set"),
    ],
)
def test_what_names_no_model_or_has_no_token_is_refused_at_the_start(
    url: str, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(ServiceError, match=said):
        upstream(url, environment)


def test_the_stand_in_s_log_carries_the_metrics(door: httpx.Client, api: ReplicateApi) -> None:
    door.post(CHAT, json=question())
    (prediction,) = api.predictions.values()
    assert json.loads(prediction.logs.splitlines()[-1].removeprefix("metrics: "))["finish_reason"] == "stop"
