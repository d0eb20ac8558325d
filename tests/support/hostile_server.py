"""A web server on 127.0.0.1 that fails in every way a download can meet, as often as it is told to.

`HostileServer` serves files by path, in parts; `faults` are dealt with one a request, in order. `StandInHub` also
answers the two calls of the model hub's HTTP API that a download makes, for one repository.
"""

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.support.loopback import LoopbackServer

XET_CHUNK = 1 << 16  # bytes


@dataclass(slots=True)
class Fault:
    """What goes wrong with one answer. `after` is how many bytes of the body are sent before it does."""

    after: int | None = None  # then the connection is closed, without a word
    stall: bool = False  # then nothing comes, and the connection stays open
    status: int | None = None  # instead of the body
    headers: dict[str, str] = field(default_factory=dict)
    shorter: int = 0  # bytes by which the body is shorter than asked for, and says so
    ranges: bool = True  # whether a request for a part is understood


class HostileServer(LoopbackServer):
    """`files` by path. `sent` counts the bytes of bodies."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        super().__init__(_Handler)
        self.files = dict(files or {})
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.faults_at: dict[str, list[Fault]] = {}  # by path, before all others, also where there is no such file
        self.encoding: str | None = None  # a Content-Encoding that nobody asked for
        self.etags = True
        self.bytes_per_second: float | None = None
        self.sent = 0
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # method, path, headers
        self.lock = threading.Lock()

    def next_fault(self, whole: bool) -> Fault | None:
        """The fault for this request. A request for the first byte alone is spared, unless faults are for always."""
        with self.lock:
            if self.always:
                return self.always
            return self.faults.pop(0) if self.faults and whole else None

    def hub(self, path: str) -> tuple[int, dict[str, str], bytes] | None:
        """The hub's own answer to `path`, if it is one of its calls."""
        return None

    def content(self, path: str) -> bytes | None:
        return self.files.get(path)

    def more_headers(self, path: str) -> dict[str, str]:
        return {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to print."""


class StandInHub(HostileServer):
    """A model hub with one repository."""

    def __init__(self, repository: str, files: dict[str, bytes], lfs: str = r".*\.(safetensors|gguf|bin)") -> None:
        self.repository, self.names, self.lfs = repository, list(files), lfs
        self.commit = hashlib.sha1(b"".join(files.values())).hexdigest()
        self.xet: tuple[str, str] | None = None
        self.xet_chunks = 0
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.digests: dict[str, str] = {}  # published instead of the right ones
        self.swapped: dict[str, bytes] = {}  # sent instead of the published files
        super().__init__({f"/{repository}/resolve/{self.commit}/{name}": data for name, data in files.items()})

    def hub(self, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if self.refusal:
            return *self.refusal, b"{}"
        if not path.startswith("/api/models/"):
            return self._xet_answer(path)
        if not path.startswith(f"/api/models/{self.repository}"):
            return 404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b"{}"
        siblings = [self._sibling(name) for name in self.names]
        answer = {"id": self.repository, "modelId": self.repository, "sha": self.commit, "siblings": siblings}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def serve_xet(self, name: str) -> None:
        """From here on `name` comes from Xet: as chunks in one block, found through a list that says how to join them.

        As huggingface/xet-core's crates have it: the headers of a file, the token's answer, the list of terms
        (`/v1/reconstructions`), and chunks with a header of 8 bytes, here stored as they are.
        """
        data = self.files[f"/{self.repository}/resolve/{self.commit}/{name}"]
        self.xet = name, hashlib.sha256(data).hexdigest()
        parts = [data[start : start + XET_CHUNK] for start in range(0, len(data), XET_CHUNK)]
        self.xet_chunks = len(parts)
        size = [len(part).to_bytes(3, "little") for part in parts]
        block = b"".join(b"\0" + long + b"\0" + long + part for long, part in zip(size, parts, strict=True))
        self.files["/xet-block"] = block

    def _xet_answer(self, path: str) -> tuple[int, dict[str, str], bytes] | None:
        if path == "/xet-read-token":
            headers = {"X-Xet-Cas-Url": self.url, "X-Xet-Access-Token": "token", "X-Xet-Token-Expiration": "9999999999"}
            return 200, headers, b"{}"
        if path.startswith("/v1/reconstructions/") and self.xet_chunks:
            return 200, {"Content-Type": "application/json"}, json.dumps(self._reconstruction()).encode()
        return (404, {}, b"") if "/reconstructions/" in path else None

    def _reconstruction(self) -> dict[str, Any]:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.requests[-1][2].get("range", ""))
        name = self.xet[0] if self.xet else ""
        data = self.files[f"/{self.repository}/resolve/{self.commit}/{name}"]
        start, end = (int(asked[1]), int(asked[2]) + 1) if asked else (0, len(data))
        first, last = start // XET_CHUNK, min(-(-end // XET_CHUNK), self.xet_chunks)
        begin, stop = first * (XET_CHUNK + 8), min(last * (XET_CHUNK + 8), len(self.files["/xet-block"]))
        chunks = {"start": first, "end": last}
        block = "0" * 63 + "1"
        where = {"range": chunks, "url": f"{self.url}/xet-block", "url_range": {"start": begin, "end": stop - 1}}
        length = min(last * XET_CHUNK, len(data)) - first * XET_CHUNK
        return {
            "offset_into_first_range": start - first * XET_CHUNK,
            "terms": [{"hash": block, "unpacked_length": length, "range": chunks}],
            "fetch_info": {block: [where]},
        }

    def _sibling(self, name: str) -> dict[str, Any]:
        data = self.files[f"/{self.repository}/resolve/{self.commit}/{name}"]
        entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git_blob(data)}
        if re.fullmatch(self.lfs, name):
            digest = self.digests.get(name) or hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"size": len(data), "sha256": digest, "pointerSize": 134}
        return entry

    def content(self, path: str) -> bytes | None:
        return self.swapped.get(path.rpartition("/")[2], super().content(path))

    def more_headers(self, path: str) -> dict[str, str]:
        headers = {"X-Repo-Commit": self.commit}
        if self.xet and path.endswith(f"/{self.xet[0]}"):
            headers |= {"X-Xet-Hash": self.xet[1], "X-Xet-Refresh-Route": f"{self.url}/xet-read-token"}
        return headers


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HostileServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        server, path = self.server, urlsplit(self.path).path
        with server.lock:
            server.requests.append((self.command, path, dict(self.headers)))
        with server.lock:
            here = server.faults_at.get(path)
            due = here.pop(0) if here else None
        if due and due.status:
            self._send(due.status, due.headers, b"")
            return
        special = server.hub(path)
        if special:
            self._send(special[0], special[1], special[2] if body else b"")
            return
        data = server.content(path)
        if data is None:
            self._send(404, {}, b"")
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1 if asked and asked[2] else len(data), len(data))
        fault = server.next_fault(body and end - start > 1) or Fault()
        if fault.status:
            self._send(fault.status, fault.headers, b"")
            return
        if not fault.ranges:
            asked, start, end = None, 0, len(data)
        part = data[start : end - fault.shorter]
        headers = server.more_headers(path)
        if server.etags:
            headers["ETag"] = f'"{hash(data):x}"'  # which Python keeps once it is reckoned
        if server.encoding:
            headers["Content-Encoding"] = server.encoding
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self.send_response(206 if asked else 200)
        for name, value in (headers | {"Content-Length": str(len(part) if body else len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self._body(part, fault)

    def _body(self, part: bytes, fault: Fault) -> None:
        server, view = self.server, memoryview(part)
        if fault.after is not None:
            view = view[: fault.after]
        step = 1 << 16 if server.bytes_per_second is None else max(1, int(server.bytes_per_second / 50))
        while view:
            with server.lock:
                server.sent += len(view[:step])
            self.wfile.write(view[:step])
            view = view[step:]
            if server.bytes_per_second is not None:
                time.sleep(step / server.bytes_per_second)
        if fault.stall:
            server.closing.wait(60)
        if fault.after is not None or fault.stall:
            self.close_connection = True

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
