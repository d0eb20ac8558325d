"""The door as an ASGI application: its routes, and what stands before them."""

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from deepseek_math.checkpoints.table import ALIASES
from deepseek_math.door.asked import Asked, Kind
from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.door.drawn import Ended, Piece, draw
from deepseek_math.door.fields import CHAT, TEXT
from deepseek_math.door.refusals import Refused
from deepseek_math.door.upstream import ServedModel, Upstream
from deepseek_math.door.written import DONE, Choice, Writer, event

EVENTS = "text/event-stream; charset=utf-8"
MOST_BYTES = 16 * 2**20  # of a body; the service's texts have 100,000 characters at most
OPEN = ("/health", "/metrics")  # without a key: probes and Prometheus have none, and no word of a client is there
CLIENT_LEFT = 499  # nginx's status of a request whose client closed the connection: it is counted, and seen by nobody
Result = TypeVar("Result")


class Door:
    """OpenAI's API before one service."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.counters = upstream.counters
        self.began = int(time.time())

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._listed(await self.upstream.model())]})

    async def model(self, request: Request) -> Response:
        return JSONResponse(self._listed(await self._require_model(request.path_params["name"])))

    async def health(self, _: Request) -> Response:
        status = await self.upstream.health()
        return JSONResponse({"status": status or "UNREACHABLE"}, 200 if status in ("READY", "BUSY") else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(self.counters.text(), media_type="text/plain; version=0.0.4")

    async def chat(self, request: Request) -> Response:
        return await self._counted(request, "chat")

    async def text(self, request: Request) -> Response:
        return await self._counted(request, "text")

    def _listed(self, model: ServedModel) -> dict[str, Any]:
        return {"id": model.name, "object": "model", "created": self.began, "owned_by": "deepseek-math"}

    async def _require_model(self, name: str | None) -> ServedModel:
        model = await self.upstream.model()
        if name is None or ALIASES.get(name, name) == model.name:
            return model
        raise Refused(
            404, "model_not_found", f"There is no model {name[:200]!r} here. {model.name} is served.", "model"
        )

    async def _counted(self, request: Request, kind: Kind) -> Response:
        mode = "none"
        try:
            asked = Asked.read(await _body(request), kind)
            mode = asked.mode
            response = await self._answer(request, asked)
            status = response.status_code
        except Refused as refused:
            status = refused.status
            raise
        except ClientDisconnect:
            status = CLIENT_LEFT
            response = Response(status_code=CLIENT_LEFT)
        finally:
            self.counters.answered(kind, mode, status)
        return response

    async def _answer(self, request: Request, asked: Asked) -> Response:
        writer = Writer(asked, await self._require_model(asked.model))
        headers = {"X-Request-Id": writer.id}
        if not asked.stream:
            return JSONResponse(await while_connected(request, self._whole(asked, writer)), headers=headers)
        chunks = self._chunks(asked, writer)
        first = await while_connected(request, anext(chunks))  # what is refused is refused before the first byte
        headers["Cache-Control"] = "no-cache"
        return StreamingResponse(self._events(first, chunks), media_type=EVENTS, headers=headers)

    async def _whole(self, asked: Asked, writer: Writer) -> dict[str, Any]:
        choices = [Choice() for _ in range(asked.choices)]
        ended: dict[int, Any] = {}
        async with aclosing(draw(self.upstream, asked)) as drawing:
            async for drawn in drawing:
                if isinstance(drawn, Piece):
                    choices[drawn.choice].text += drawn.text
                    choices[drawn.choice].tokens += drawn.tokens
                elif isinstance(drawn, Ended):
                    ended[min(drawn.finished)] = drawn.metrics
                    for choice, reason in drawn.finished.items():
                        choices[choice].finish = reason
        return writer.whole(choices, [ended[choice] for choice in sorted(ended)])

    async def _chunks(self, asked: Asked, writer: Writer) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a stream, the first one as soon as the service has taken the request."""
        begun: set[int] = set()
        finished: dict[int, str] = {}
        ended: dict[int, Any] = {}
        async with aclosing(draw(self.upstream, asked)) as drawing:
            async for drawn in drawing:
                if drawn is None:
                    if begun:
                        yield writer.alive(min(begun))
                    continue
                for choice in drawn.choices:
                    if choice not in begun:
                        begun.add(choice)
                        yield writer.begin(choice)
                if isinstance(drawn, Piece):
                    yield writer.piece(drawn)
                elif isinstance(drawn, Ended):
                    ended[min(drawn.finished)] = drawn.metrics
                    finished |= drawn.finished
        for chunk in writer.end(finished, [ended[choice] for choice in sorted(ended)]):
            yield chunk

    async def _events(
        self, first: dict[str, Any], chunks: AsyncGenerator[dict[str, Any], None]
    ) -> AsyncIterator[bytes]:
        async with aclosing(chunks):
            try:
                yield event(first)
                async for chunk in chunks:
                    yield event(chunk)
            except Refused as refused:
                self.counters.refused(refused.code)
                yield event(refused.body)
        yield DONE


async def _body(request: Request) -> bytes:
    """Raises Refused for one that is compressed or too long."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        message = f"The body is sent as {encoding[:40]!r}. Send it as it is, without Content-Encoding."
        raise Refused(415, "encoding_not_offered", message)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Refused(413, "body_too_long", f"The body has over {MOST_BYTES} bytes. Send less.")
    return bytes(body)


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """What `work` gives; it is ended where the client is gone before that. Raises ClientDisconnect then."""
    working = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class KeyCheck:
    """Lets in who sends the key. It stands before the routes, so that an address tells nothing without it."""

    def __init__(self, app: ASGIApp, key: str, door: Door) -> None:
        self._app = app
        self._key = key.encode()
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or self._knows(scope):
            await self._app(scope, receive, send)
            return
        message = "This service asks for a key, and the request has none or another. Send it as a bearer token."
        self._door.counters.refused("invalid_api_key")
        refused = Refused(401, "invalid_api_key", message)
        await JSONResponse(refused.body, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        scheme, _, sent = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(sent.strip(), self._key) and scheme.lower() == b"bearer"


def app(upstream: Upstream, settings: DoorSettings | None = None) -> Starlette:
    """The door before `upstream`, which it opens and closes."""
    settings = settings or DoorSettings()
    door = Door(upstream)
    before = []
    if settings.origins:
        before.append(_cors(settings.origins))
    if settings.api_key:
        before.append(Middleware(KeyCheck, key=settings.api_key, door=door))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        door.counters.refused(error.code)
        return JSONResponse(error.body, error.status, error.headers)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with upstream:
            yield

    return Starlette(
        routes=[
            Route("/v1/models", door.models),
            Route("/v1/models/{name:path}", door.model),
            Route(CHAT, door.chat, methods=["POST"]),
            Route(TEXT, door.text, methods=["POST"]),
            Route("/health", door.health),
            Route("/metrics", door.metrics),
        ],
        middleware=before,
        exception_handlers={Refused: refused, HTTPException: _no_route, Exception: _fault},
        lifespan=lifespan,
    )


def _cors(origins: tuple[str, ...]) -> Middleware:
    """Any header may be asked for: OpenAI's clients in a browser send a dozen of their own."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["X-Request-Id", "Retry-After"],
        allow_private_network=True,
    )


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path[:200]} is not offered here. The API's addresses begin with /v1."
    return JSONResponse(Refused(error.status_code, "not_found", message).body, error.status_code, error.headers)


async def _fault(_: Request, error: Exception) -> Response:
    message = f"The door met an unexpected {type(error).__name__}; its log has the traceback."
    return JSONResponse(Refused(500, "internal_error", message).body, 500)
