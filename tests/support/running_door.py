"""The door on a real port, in a thread of the test's own process."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from deepseek_math.door.app import app
from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.door.upstream import PATIENCE, Upstream

MOST_BYTES = 64 * 1024  # of one event


@contextmanager
def running_door(
    service: str | Upstream, settings: DoorSettings | None = None, patience: float = PATIENCE
) -> Iterator[httpx.Client]:
    """A client of a door before a service, or the one at an address."""
    upstream = service if isinstance(service, Upstream) else Upstream(service, patience)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app(upstream, settings), log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=base, timeout=120.0, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30.0)
        listening.close()


@dataclass(slots=True)
class Streamed:
    """A stream, read to its end and held against what every stream keeps."""

    chunks: list[dict[str, Any]]
    texts: dict[int, str] = field(default_factory=dict)  # by choice
    finished: dict[int, str] = field(default_factory=dict)
    first_of: dict[int, dict[str, Any]] = field(default_factory=dict)  # each choice's first chunk

    @property
    def with_choices(self) -> list[dict[str, Any]]:
        return [chunk for chunk in self.chunks if chunk["choices"]]

    @property
    def extra(self) -> dict[str, Any]:
        """The object beside choices; lists that are split over chunks are joined."""
        joined: dict[str, Any] = {}
        for chunk in self.chunks:
            for name, value in chunk.get("deepseek_math", {}).items():
                joined[name] = joined[name] + value if name in joined else value
        return joined


def streamed(response: httpx.Response) -> Streamed:
    """Asserts the form of a stream, event by event."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, rest = response.content.split(b"\n\n")
    assert rest == b""
    assert events[-1] == b"data: [DONE]"
    assert all(event.startswith(b"data: ") and b"\n" not in event for event in events)
    assert max(map(len, events)) < MOST_BYTES
    read = Streamed([json.loads(event.removeprefix(b"data: ").decode()) for event in events[:-1]])
    assert len({(chunk["id"], chunk["created"], chunk["object"], chunk["model"]) for chunk in read.chunks}) == 1
    chat = read.chunks[0]["object"] == "chat.completion.chunk"
    assert chat or read.chunks[0]["object"] == "text_completion"
    for chunk in read.with_choices:
        (choice,) = chunk["choices"]
        index = choice["index"]
        assert index not in read.finished or choice["finish_reason"] is None
        read.first_of.setdefault(index, choice)
        text = choice["delta"].get("content", "") if chat else choice["text"]
        assert "\ufffd" not in text
        read.texts[index] = read.texts.get(index, "") + text
        if choice["finish_reason"] is not None:
            assert choice["finish_reason"] in ("stop", "length")
            read.finished[index] = choice["finish_reason"]
    assert read.finished.keys() == read.texts.keys()
    if chat:
        assert all(choice["delta"]["role"] == "assistant" for choice in read.first_of.values())
    return read
