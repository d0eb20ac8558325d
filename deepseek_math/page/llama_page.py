"""llama.cpp's own chat page at `/chat`, where the installed package of xllamacpp has it, before the door's API.

The package holds the page's files in its library, each compressed, for llama.cpp's own server: in xllamacpp
2026.10.11549 one page, one script, one style sheet, and pictures. They are found by what they are, and nothing of them
is kept here. A build without the page, such as one of `make native`, has no `/chat`.
"""

import json
import mmap
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Message

from deepseek_math.door.fields import CHAT
from deepseek_math.door.refusals import Refused
from deepseek_math.door.upstream import Upstream
from deepseek_math.inputs import CONTEXT

GZIP = b"\x1f\x8b\x08"
SMALLEST = 1000  # bytes of a file that is worth a look
LARGEST = 50_000_000
STEP = 4096
MARK = b"static build of the frontend"  # in the page's first lines
# What it always sends, whatever its user sets: tools of its own, which no model here calls, and marks for its server.
NOT_TAKEN = ("tools", "reasoning_control", "sse_ping_interval", "backend_sampling")
# It is a page of many parts and starts with a script of its own, but it reaches no other host either.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class File:
    """One of the page's files, compressed as it lies in the package."""

    kind: str
    packed: bytes

    def response(self) -> Response:
        headers = {"Content-Encoding": "gzip", "Content-Security-Policy": POLICY}
        return Response(self.packed, media_type=self.kind, headers=headers)


class LlamaPage:
    def __init__(self, upstream: Upstream, door: Sequence[BaseRoute]) -> None:
        self.upstream = upstream
        self.door = door
        self._completions = next(route.endpoint for route in door if isinstance(route, Route) and route.path == CHAT)

    def route(self) -> Mount:
        """The page and, below it as it expects them, the door's routes."""
        own = [
            Route("/", self.file),
            Route("/_app/{path:path}", self.file),
            Route("/props", self.props),
            Route("/tools", self.tools),
            Route(CHAT, self.completions, methods=["POST"]),
        ]
        return Mount("/chat", app=Router([*own, *self.door]))

    async def file(self, request: Request) -> Response:
        found = (await run_sync(files)).get(request.path_params.get("path", ""))
        if found is None:
            raise Refused(404, "not_found", "The package of xllamacpp that is installed has no page of llama.cpp's.")
        return found.response()

    async def completions(self, request: Request) -> Response:
        """The door's, without what this page always sends."""
        body = await request.body()
        try:
            fields = json.loads(body)
            body = json.dumps({name: value for name, value in fields.items() if name not in NOT_TAKEN}).encode()
        except (ValueError, AttributeError, RecursionError):
            pass  # the door says what is wrong with it
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                return await request.receive()
            sent = True
            return {"type": "http.request", "body": body}

        response: Response = await self._completions(Request(request.scope, receive))
        return response

    async def tools(self, _: Request) -> Response:
        return JSONResponse([])

    async def props(self, _: Request) -> Response:
        """What llama.cpp's server says of itself, as far as its page asks."""
        name = (await self.upstream.model()).name
        facts: dict[str, Any] = {
            "default_generation_settings": {"id": 0, "n_ctx": CONTEXT, "params": {}},
            "total_slots": 1,
            "model_path": name,
            "model_alias": name,
            "role": "model",
            "modalities": {"vision": False, "audio": False},
            "chat_template": "",
            "build_info": "deepseek-math",
        }
        return JSONResponse(facts)


@cache
def files() -> dict[str, File]:
    """The files by their path below `_app`, the page itself by an empty one; none where the package has no page."""
    spec = find_spec("xllamacpp")
    libraries = sorted(Path(spec.origin).parent.glob("*.so")) if spec and spec.origin else []
    for library in libraries:
        if found := _files_in(library):
            return found
    return {}


def _files_in(library: Path) -> dict[str, File]:
    page, script, style = b"", b"", b""
    largest_script = largest_style = 0
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as packed:
        at = packed.find(GZIP)
        while at >= 0:
            member, text = _member(packed, at)
            if MARK in text[:500]:
                page = text
            elif text.startswith(b"@") and len(text) > largest_style:
                style, largest_style = member, len(text)
            elif text[:1].isalpha() and len(text) > largest_script:
                script, largest_script = member, len(text)
            at = packed.find(GZIP, at + max(len(member), 1))
    names = re.findall(rb'href="\./_app/([\w./-]+\.(?:js|css))"', page)
    kinds = {".js": File("text/javascript", script), ".css": File("text/css", style)}
    found = {name.decode(): kinds[Path(name.decode()).suffix] for name in dict.fromkeys(names)}
    return {"": File("text/html", zlib.compress(page, wbits=31)), **found} if len(found) == 2 else {}


def _member(packed: mmap.mmap, start: int) -> tuple[bytes, bytes]:
    """The compressed file that begins there and its text; nothing where none does."""
    reader = zlib.decompressobj(wbits=31)
    parts: list[bytes] = []
    at = start
    try:
        while not reader.eof and at < min(start + LARGEST, len(packed)):
            parts.append(reader.decompress(packed[at : at + STEP]))
            at += STEP
    except zlib.error:
        return b"", b""
    text = b"".join(parts)
    end = at - len(reader.unused_data)
    return (packed[start:end], text) if len(text) >= SMALLEST else (b"", b"")
