"""A service that fails: what the door's clients are told, and that a stream always comes to its end."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest

from deepseek_math.door import drawn
from deepseek_math.local.server import free_port
from tests.support.loopback import LoopbackServer, running
from tests.support.running_door import running_door, streamed

CHAT = "/v1/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "2+3?"}]}
METRICS = {"checkpoint": "m", "prompt_tokens": 3, "completion_tokens": 1, "finish_reason": "stop", "context": 4096}
Event = tuple[str, dict[str, Any]]
TAKEN: Event = ("metric", {"name": "ahead", "value": 0, "mode": "replace"})
TEXT: Event = ("output", {"chunk": "fi", "index": 0})
DONE: Event = ("completed", {"status": "succeeded", "metrics": METRICS, "output": ["fi"]})


class BrokenCog(LoopbackServer):
    """Answers as Cog's server does: what it is with a refusal, and each prediction with the same `events`. A prediction
    takes those of `first`, where there are some."""

    def __init__(self, events: Sequence[Event] = (), status: int = 200, body: str = "") -> None:
        super().__init__(_Handler)
        self.events, self.status, self.body = events, status, body
        self.first: list[Sequence[Event]] = []
        self.ids: list[str] = []
        self.inputs: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: BrokenCog

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if self.path != "/predictions":
            self.send_error(404)
            return
        asks_what_it_is = sent["input"]["prompt"] == " "
        if not asks_what_it_is:
            self.server.ids.append(sent.get("id", ""))
            self.server.inputs.append(sent["input"])
        self.send_response(200 if asks_what_it_is else self.server.status)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        ended: Event = ("completed", {"status": "failed", "metrics": METRICS, "error": "ServiceError: prompt_empty: x"})
        first = [[ended]] if asks_what_it_is else self.server.first
        events = first.pop() if first else self.server.events
        for kind, data in events:
            if kind == "pause":
                time.sleep(data["seconds"])
                continue
            self.wfile.write(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.write(b"" if asks_what_it_is else self.server.body.encode())


def failed(code: str, message: str = "It broke.") -> Event:
    metrics = METRICS | {"error_code": code, "finish_reason": "error"}
    return ("completed", {"status": "failed", "metrics": metrics, "error": f"ServiceError: {code}: {message}"})


@contextmanager
def door_to(*events: Event, status: int = 200, body: str = "") -> Iterator[tuple[httpx.Client, BrokenCog]]:
    with running(BrokenCog(events, status, body)) as cog, running_door(cog.url, patience=0.2) as door:
        yield door, cog


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("context_exceeded", 400, "context_length_exceeded"),
        ("control_token", 400, "control_token"),
        ("engine_failed", 500, "engine_failed"),
        ("engine_unreachable", 503, "engine_unreachable"),
        ("time_limit", 504, "time_limit"),
    ],
)
def test_a_fault_before_the_first_byte_has_its_status(code: str, status: int, said: str, stream: bool) -> None:
    with door_to(failed(code)) as (door, _):
        answer = door.post(CHAT, json={**QUESTION, "stream": stream, "max_tokens": 5})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, said)
    assert error["message"].endswith("It broke.")
    assert error["message"].startswith("This model's maximum context length is") == (code == "context_exceeded")
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("last", "code"),
    [
        ([failed("engine_failed")], "engine_failed"),
        ([("completed", {"status": "canceled", "metrics": METRICS})], "prediction_canceled"),
        ([("error", {"error": "SSE stream lagged"})], "service_unreachable"),
        ([], "service_unreachable"),
    ],
)
def test_a_fault_amid_a_stream_is_an_event_of_its_own_before_the_end(last: list[Event], code: str) -> None:
    with door_to(TAKEN, TEXT, *last) as (door, _):
        answer = door.post(CHAT, json={**QUESTION, "stream": True})
    assert answer.status_code == 200
    *chunks, error, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == code
    assert [json.loads(chunk.removeprefix("data: "))["choices"][0]["delta"]["content"] for chunk in chunks] == [
        "",
        "fi",
    ]


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (409, "{}", 429, "service_full"),
        (503, "{}", 503, "service_loading"),
        (500, "oops", 502, "service_refused"),
        (422, '{"detail": [{"loc": ["body", "input", "max_new_tokens"], "msg": "too many"}]}', 400, "input_invalid"),
        (422, "no JSON", 400, "input_invalid"),
    ],
)
def test_a_status_of_cog_s_becomes_one_that_clients_act_on(status: int, body: str, expected: int, code: str) -> None:
    with door_to(status=status, body=body) as (door, _):
        answer = door.post(CHAT, json={**QUESTION, "max_tokens": 5})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (expected, code)
    if expected in (429, 503):
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    if "detail" in body:
        assert error["param"] == "max_tokens"


def test_what_a_limit_of_time_broke_off_is_not_lost() -> None:
    kind, said = failed("time_limit")
    with door_to(TAKEN, TEXT, (kind, said | {"metrics": said["metrics"] | {"text_so_far": "fi"}})) as (door, _):
        answer = door.post(CHAT, json=QUESTION)
    assert answer.status_code == 504
    assert answer.json()["deepseek_math"] == {"text_so_far": "fi"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_of_the_door_itself_is_told_and_a_stream_comes_to_its_end(stream: bool) -> None:
    unheard_of: Event = ("completed", {"status": "succeeded", "metrics": {}, "output": ["fi"]})
    with door_to(TAKEN, TEXT, unheard_of) as (door, _):
        answer = door.post(CHAT, json={**QUESTION, "stream": stream})
        assert 'status="500"' in door.get("/metrics").text or stream
    last = answer.text.split("\n\n")[-3].removeprefix("data: ") if stream else answer.text
    assert json.loads(last)["error"]["code"] == "internal_error"
    assert answer.text.endswith("data: [DONE]\n\n") or not stream


def test_a_service_that_is_not_there_is_said_to_be_so() -> None:
    with running_door(f"http://127.0.0.1:{free_port()}", patience=0.2) as door:
        for answer in (door.get("/v1/models"), door.post(CHAT, json=QUESTION)):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unreachable")
            assert "Retry-After" in answer.headers
        health = door.get("/health")
        assert (health.status_code, health.json()) == (503, {"status": "UNREACHABLE"})


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_prompt_without_a_limit_gets_what_room_there_is(stream: bool) -> None:
    kind, said = failed("context_exceeded")
    too_long: Event = (kind, said | {"metrics": said["metrics"] | {"prompt_tokens": 3800}})
    body = {**QUESTION, "stream": stream}
    with door_to(TAKEN, TEXT, DONE) as (door, cog):
        cog.first = [[too_long]]
        assert door.post(CHAT, json=body).status_code == 200
        assert [inputs.get("max_new_tokens") for inputs in cog.inputs] == [None, 296]
        cog.first = [[too_long]]
        refused = door.post(CHAT, json={**body, "max_tokens": 1024})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_a_silent_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "SILENCE", 0.1)
    with door_to(TAKEN, ("pause", {"seconds": 0.5}), TEXT, DONE) as (door, _):
        read = streamed(door.post(CHAT, json={**QUESTION, "stream": True}))
    assert read.texts == {0: "fi"}
    assert len([chunk for chunk in read.chunks if chunk["choices"][0]["delta"] == {}]) >= 2  # the last one is the end


@pytest.mark.parametrize(("fields", "named"), [({"n": 2, "temperature": 1}, "n"), ({"logprobs": True}, "logprobs")])
def test_a_service_that_is_too_old_for_a_field_is_said_to_be_so(fields: dict[str, Any], named: str) -> None:
    with door_to(TEXT, DONE) as (door, _):
        answer = door.post(CHAT, json={**QUESTION, **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, named)


def test_a_service_that_does_not_say_when_it_takes_a_request_streams_all_the_same() -> None:
    with door_to(TEXT, DONE) as (door, _):
        assert streamed(door.post(CHAT, json={**QUESTION, "stream": True})).texts == {0: "fi"}


def test_every_prediction_has_an_id_of_the_door_s_own_that_is_a_safe_name() -> None:
    with door_to(TAKEN, TEXT, DONE) as (door, cog):
        for _ in range(3):
            assert door.post(CHAT, json={**QUESTION, "user": "../../x"}).status_code == 200
    assert len(set(cog.ids)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in cog.ids)
