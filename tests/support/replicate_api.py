"""A stand-in of Replicate's HTTP API in front of a real service on this machine.

Written from its published schema (api.replicate.com/openapi.json, read in November 2026) and from what its clients ask
for. It keeps what differs from Cog's API: a token, versions, `Prefer: wait` of at most 60 s that may answer before the
end, a stream at an address of its own, and of the model's metrics none but its own times.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

from deepseek_math.cog import schema
from deepseek_math.local import client
from tests.support.loopback import LoopbackServer

TOKEN = "r8_stand_in"
MODEL = "you/deepseek-math"
VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
TERMINAL = ("succeeded", "failed", "canceled")
TIME = "2026-11-27T12:00:00.000Z"
FILE = {"id": "file", "name": "problem.txt", "content_type": "text/plain", "etag": "e", "checksums": {}, "metadata": {}}
FILE |= {"created_at": TIME}
MOST_SECONDS = 60.0  # that `Prefer: wait` holds a connection


class Prediction:
    """One prediction: the service streams it in a thread, and readers wait for what comes."""

    def __init__(self, api: "ReplicateApi", inputs: dict[str, Any]) -> None:
        self.id = uuid.uuid4().hex[:26]
        self.inputs = inputs
        self.chunks: list[str] = []
        self.status, self.logs = "starting", ""
        self.error: str | None = None
        self.begun: dict[str, Any] | None = None  # what there is to say at the first text
        self.changed = threading.Condition()
        self._api = api
        self._started = time.monotonic()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._follow()
        except client.PredictionRefused as error:  # Replicate refuses it before, as it knows the schema
            with self.changed:
                self.status, self.error = "failed", str(error)
                self.changed.notify_all()

    def _follow(self) -> None:
        for event in client.stream(self._api.service, self.inputs, self.id):
            with self.changed:
                if event.kind == "start":
                    self.status = "processing"
                elif event.kind == "output":
                    self.chunks.append(event.data["chunk"])
                    self.begun = self.begun or self.document()
                elif event.kind == "completed":
                    self.status, self.logs = event.data["status"], event.data.get("logs", "")
                    self.error = event.data.get("error")
                self.changed.notify_all()

    def waited(self, seconds: float) -> dict[str, Any]:
        """What `Prefer: wait` answers: at the end, or after `seconds`."""
        with self.changed:
            if self._api.impatient:
                self.changed.wait_for(lambda: self.begun or self.status in TERMINAL)
                return self.begun or self.document()
            self.changed.wait_for(lambda: self.status in TERMINAL, seconds)
            return self.document()

    def cancel(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.status != "starting")  # before, the service does not know of it
        client.cancel(self._api.service, self.id)

    def document(self) -> dict[str, Any]:
        address = f"{self._api.url}/v1/predictions/{self.id}"
        return {
            "id": self.id,
            "model": MODEL,
            "version": VERSION,
            "input": self.inputs,
            "output": list(self.chunks) or None,
            "logs": self.logs,
            "error": self.error,
            "status": self.status,
            "metrics": {"predict_time": time.monotonic() - self._started} if self.status in TERMINAL else {},
            "created_at": TIME,
            "data_removed": False,
            "urls": {"get": address, "cancel": f"{address}/cancel", "stream": f"{self._api.url}/stream/{self.id}"},
        }

    def events(self) -> Iterator[tuple[str, str]]:
        """Kind and data of each server-sent event."""
        sent, ended = 0, False
        while not ended:
            with self.changed:
                while len(self.chunks) == sent and self.status not in TERMINAL:
                    self.changed.wait()
                new, ended = self.chunks[sent:], self.status in TERMINAL
            for chunk in new:
                yield "output", chunk
            sent += len(new)
        if self.status == "failed":
            yield "error", json.dumps({"detail": self.error})
        yield "done", "{}"


class Handler(BaseHTTPRequestHandler):
    server: "ReplicateApi"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._authorised():
            return
        match self.path.strip("/").split("/"):
            case ["v1", "predictions"]:
                self._create(json.loads(body))
            case ["v1", "predictions", name, "cancel"] if name in self.server.predictions:
                self.server.predictions[name].cancel()
                self._answer(200, self.server.predictions[name].document())
            case ["v1", "files"]:
                self._answer(201, FILE | {"size": len(body), "urls": {"get": f"{self.server.url}/v1/files/file"}})
            case _:  # also models/OWNER/NAME/predictions, which is for official models
                self._fault(404, "Not found", "The requested resource could not be found.")

    def do_GET(self) -> None:
        match self.path.strip("/").split("/"):
            case ["stream", name] if name in self.server.predictions:
                self._stream(self.server.predictions[name])
            case _ if not self._authorised():
                pass
            case ["v1", "predictions", name] if name in self.server.predictions:
                self._answer(200, self.server.predictions[name].document())
            case ["v1", "models", owner, name] if f"{owner}/{name}" == MODEL:
                latest = {"id": VERSION, "created_at": TIME, "cog_version": "0.23.1", "openapi_schema": {}}
                self._answer(200, {"owner": owner, "name": name, "url": self.server.url, "latest_version": latest})
            case ["v1", "models", owner, name, "versions", version] if (f"{owner}/{name}", version) == (MODEL, VERSION):
                document = {"id": VERSION, "created_at": TIME, "cog_version": "0.23.1"}
                self._answer(200, document | {"openapi_schema": schema.document()})
            case _:
                self._fault(404, "Not found", "The requested resource could not be found.")

    def _authorised(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._fault(401, "Unauthenticated", "You did not pass a valid authentication token")
        return False

    def _create(self, body: dict[str, Any]) -> None:
        if body.get("version") not in (VERSION, f"{MODEL}:{VERSION}", MODEL):
            self._fault(422, "Invalid version or not permitted", "The specified version does not exist")
            return
        if "prompt" not in body.get("input", {}):
            self._fault(422, "Input validation failed", "- input: prompt is required")
            return
        prediction = Prediction(self.server, body["input"])
        self.server.predictions[prediction.id] = prediction
        prefer, _, seconds = self.headers.get("Prefer", "").partition("=")
        self._answer(201, prediction.waited(float(seconds or MOST_SECONDS) if prefer == "wait" else 0.0))

    def _stream(self, prediction: Prediction) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        for number, (kind, data) in enumerate(prediction.events()):
            lines = "".join(f"data: {line}\n" for line in data.split("\n"))
            self.wfile.write(f"event: {kind}\nid: {number}\n{lines}\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def _fault(self, status: int, title: str, detail: str) -> None:
        self._answer(status, {"title": title, "detail": detail, "status": status})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class ReplicateApi(LoopbackServer):
    """`service` is the address of the service that works. Where it is `impatient`, `Prefer: wait` answers at the first
    text, as it otherwise does after a minute."""

    def __init__(self, service: str, *, impatient: bool = False) -> None:
        super().__init__(Handler)
        self.service = service
        self.impatient = impatient
        self.predictions: dict[str, Prediction] = {}
