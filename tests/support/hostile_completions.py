"""An OpenAI-compatible completions server on 127.0.0.1 that answers as it is told, rightly or not.

It draws nothing: it is there for faults that no honest server meets on demand, and for the words of vLLM's wire format
that llama.cpp's server does not speak. What it cannot show is that a real vLLM does what the fields ask for.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.loopback import LoopbackServer

Event = dict[str, Any] | str | float  # a chunk, a raw line, a pause in seconds


@dataclass(slots=True)
class Play:
    """One answer to a request for a completion. `end` says what follows the events: the stream's end as OpenAI has it,
    a dropped connection, the end without a word, or silence."""

    events: Sequence[Event] = ()
    end: str = "done"  # or drop, close, stall
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "{}"
    kind: str = "text/event-stream"


def vllm(*texts: str, finish: str = "stop", prompt: int = 0, **more: Any) -> list[Event]:
    """A stream as vLLM writes it: the usage so far in each chunk, once more at the end. A token a text; the last one
    is the end-of-sequence token where it ends by itself."""
    events: list[Event] = []
    for count, text in enumerate(texts, 1):
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None, "stop_reason": None, **more}
        if count == len(texts):
            choice["finish_reason"] = finish
        events.append({"choices": [choice], "usage": _usage(prompt, count)})
    return [*events, {"choices": [], "usage": _usage(prompt, len(texts))}]


def plain(*texts: str, finish: str = "stop", prompt: int = 0) -> list[Event]:
    """A stream as OpenAI's own documentation has it: the usage at the end alone."""
    events: list[Event] = [{"choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in texts]
    events.append({"choices": [{"index": 0, "text": "", "finish_reason": finish}]})
    return [*events, {"choices": [], "usage": _usage(prompt, len(texts) + (finish == "stop"))}]


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class HostileCompletions(LoopbackServer):
    """`plays` are dealt one a completion; after them comes `always`. Requests for a probe are spared."""

    def __init__(self, speak: Callable[..., list[Event]] = vllm, text: str | None = None, port: int = 0) -> None:
        super().__init__(_Handler, port)
        self.speak = speak
        self.text = text  # what /detokenize says; None: there is none
        self.detokenizes: Play | None = None  # instead
        self.completions = 0  # that were asked for, the probe's among them
        self.models: list[dict[str, Any]] = [{"id": "math", "max_model_len": 512}]
        self.plays: list[Play] = []
        self.always: Play | None = None
        self.probes: list[Play] = []  # instead of a right answer to a probe
        self.health = 200
        self.healths: list[int] = []  # dealt before `health`
        self.connections = 0
        self.bodies: list[dict[str, Any]] = []  # of completions, the probe's not among them
        self.keys: list[str | None] = []
        self.left = threading.Event()  # a client has closed a stream

    def play(self, body: dict[str, Any]) -> Play:
        if self.probes and len(self.bodies) == 0:
            return self.probes.pop(0)
        if body.get("ignore_eos"):
            return Play(self.speak(*"abcd", finish="length", prompt=len(body["prompt"])))
        self.bodies.append(body)
        if self.plays:
            return self.plays.pop(0)
        return self.always or Play(self.speak("four", "ty", "-two", "", prompt=len(body["prompt"])))

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HostileCompletions

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json(200, {"object": "list", "data": self.server.models})
        elif self.path == "/health":
            self._json(self.server.healths.pop(0) if self.server.healths else self.server.health, {})
        else:
            self._json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization"))
        if self.path == "/detokenize" and self.server.detokenizes is not None:
            self._complete(self.server.detokenizes)
        elif self.path == "/detokenize" and self.server.text is not None:
            self._json(200, {"prompt": self.server.text})
        elif self.path == "/v1/completions":
            self.server.completions += 1
            self._complete(self.server.play(body))
        else:
            self._json(404, {"detail": "Not Found"})

    def _complete(self, play: Play) -> None:
        self.send_response(play.status)
        for name, value in play.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", play.kind)
        if play.status != 200:
            self.send_header("Content-Length", str(len(play.body.encode())))
            self.end_headers()
            self.wfile.write(play.body.encode())
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in play.events:
                if isinstance(event, float):
                    time.sleep(event)
                    continue
                self._write(event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n")
            while play.end == "stall" and not self.server.closing.wait(0.02):
                self._write(": still here\n\n")  # a comment, which is no event; fails once the client has left
        except OSError:
            self.server.left.set()
            self.close_connection = True
            return
        if play.end == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if play.end == "done":
            self._write("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _write(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass
