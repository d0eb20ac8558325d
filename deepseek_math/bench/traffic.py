"""What clients of a soak send: one table of kinds, each of which knows how its prediction must end."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from deepseek_math.bench.raw_request import RawRequest
from deepseek_math.bench.webhook_receiver import WebhookReceiver
from deepseek_math.local import client

WEBHOOK_SECONDS = 120.0  # in which a webhook must come
EARLY, LATE = 0.010, 1.5  # seconds: the most that a cancel or drop waits, each half of the time
READ_PAUSE = 0.05  # seconds that a slow reader takes for an event
SEEDS = 5  # so that equal requests come often
VOTE = {"samples": 8, "temperature": 1.0}
LONG_VOTE = {"samples": 64, "temperature": 1.5}
QUESTIONS = (
    "What is 12 + 30?",
    "What is 1234 * 56?",
    "Solve 3x+5=20.",
    "What is 81 - 18?",
    "计算 12 + 30。",
    "What is 7/8 of 64?",
)
BAD: tuple[tuple[Mapping[str, Any], int, str], ...] = (  # inputs, the HTTP status, and what the answer must contain
    ({}, 422, "prompt"),
    ({"prompt": ""}, 422, "prompt"),
    ({"prompt": "x", "temperature": "warm"}, 422, "temperature"),
    ({"prompt": "x", "top_p": 0.0}, 200, "top_p_out_of_range"),
    ({"prompt": "x", "max_new_tokens": 4096}, 200, "context_exceeded"),
    ({"prompt": "x", "samples": 4, "temperature": 0.0}, 200, "vote_is_greedy"),
)


class Unexpected(Exception):
    """A prediction that ended in another way than it must."""


@dataclass(slots=True)
class Sender:
    """What one client's predictions need. `texts` is shared by all clients: what each request has answered before."""

    url: str
    receiver: WebhookReceiver
    random: Random
    texts: dict[str, str]
    lock: threading.Lock
    name: str  # of the client; no two predictions have the same id
    sent: int = field(default=0)

    def next_id(self) -> str:
        self.sent += 1
        return f"{self.name}-{self.sent}"

    def request(self, **others: Any) -> dict[str, Any]:
        """A question with one of few seeds."""
        question, seed = self.random.choice(QUESTIONS), self.random.randrange(SEEDS)
        return {"prompt": question, "seed": seed, "temperature": 0.8, "max_new_tokens": 200} | others

    def moment(self) -> float:
        return self.random.uniform(0, self.random.choice((EARLY, LATE)))

    def require_same(self, inputs: Mapping[str, Any], prediction: Mapping[str, Any]) -> None:
        """That it has succeeded, with the text and the vote that this request has had before."""
        if prediction["status"] != "succeeded":
            raise Unexpected(f"{prediction['status']}: {prediction.get('error')}")
        metrics = prediction["metrics"]
        text = "".join(prediction["output"]) + str([metrics.get(name) for name in ("winner_seed", "samples_used")])
        with self.lock:
            before = self.texts.setdefault(repr(sorted(inputs.items())), text)
        if text != before:
            raise Unexpected(f"{inputs} answered {text!r}, and {before!r} before")


def plain(sender: Sender) -> None:
    inputs = sender.request()
    sender.require_same(inputs, _post(sender, {"id": sender.next_id(), "input": inputs}).json())


def asynchronous(sender: Sender) -> None:
    inputs, name = sender.request(), sender.next_id()
    body = {"id": name, "input": inputs, "webhook": sender.receiver.url, "webhook_events_filter": ["completed"]}
    answer = _post(sender, body, {"Prefer": "respond-async"})
    if answer.status_code != httpx.codes.ACCEPTED:
        raise Unexpected(f"HTTP {answer.status_code}: {answer.text}")
    ended = sender.receiver.wait_for(name, WEBHOOK_SECONDS)
    if ended is None:
        raise Unexpected(f"no webhook of {name} within {WEBHOOK_SECONDS:g} s")
    sender.require_same(inputs, ended)


def stream(sender: Sender) -> None:
    _read(sender, sender.request())


def slow_reader(sender: Sender) -> None:
    _read(sender, sender.request(), READ_PAUSE)


def vote(sender: Sender) -> None:
    _read(sender, sender.request(**VOTE))


def program(sender: Sender) -> None:
    _read(sender, sender.request(mode="tool"))


def cancel(sender: Sender) -> None:
    name = sender.next_id()
    events = client.stream(sender.url, sender.request(**LONG_VOTE), name)
    next(events)
    time.sleep(sender.moment())
    client.cancel(sender.url, name)
    *_, last = events
    if last.kind != "completed" or last.data["status"] not in ("canceled", "succeeded"):
        raise Unexpected(f"cancelled, it ended with {last.kind} {last.data}")


def drop_stream(sender: Sender) -> None:
    _drop(sender, client.STREAM)


def drop_plain(sender: Sender) -> None:
    _drop(sender, {})


def bad_input(sender: Sender) -> None:
    inputs, status, words = sender.random.choice(BAD)
    answer = _post(sender, {"id": sender.next_id(), "input": inputs})
    if answer.status_code != status or words not in answer.text:
        raise Unexpected(f"{inputs} was answered with HTTP {answer.status_code}: {answer.text}")


KINDS: dict[str, tuple[Callable[[Sender], None], int]] = {  # and how often each comes, beside the others
    "plain": (plain, 4),
    "stream": (stream, 4),
    "asynchronous, webhook": (asynchronous, 3),
    "vote": (vote, 2),
    "program": (program, 2),
    "slow reader": (slow_reader, 1),
    "cancel": (cancel, 3),
    "drop a stream": (drop_stream, 3),
    "drop a plain request": (drop_plain, 3),
    "bad input": (bad_input, 2),
}


def _read(sender: Sender, inputs: Mapping[str, Any], pause: float = 0.0) -> None:
    """A stream to its end: its pieces are the text that its end has."""
    pieces = []
    for event in client.stream(sender.url, dict(inputs), sender.next_id()):
        time.sleep(pause)
        if event.kind == "output":
            pieces.append(event.data["chunk"])
    if event.kind != "completed":
        raise Unexpected(f"a stream ended with {event.kind} {event.data}")
    sender.require_same(inputs, event.data)
    if pieces != event.data["output"] and "".join(pieces) != "".join(event.data["output"]):
        raise Unexpected(f"a stream's pieces are {pieces}, and its end has {event.data['output']}")


def _drop(sender: Sender, headers: Mapping[str, str]) -> None:
    with RawRequest(sender.url, {"id": sender.next_id(), "input": sender.request(**LONG_VOTE)}, headers):
        time.sleep(sender.moment())


def _post(sender: Sender, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Sent again while the server is full."""
    with client.http(client.TIMEOUT) as session:
        while True:
            answer = session.post(f"{sender.url}/predictions", json=body, headers=headers)
            if answer.status_code != httpx.codes.CONFLICT:
                return answer
            time.sleep(client.BUSY_RETRY.first_wait)
