"""The door's routes."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deepseek_math.door.asked import Asked, Kind
from deepseek_math.door.fields import CHAT, TEXT
from deepseek_math.door.refusals import Refused
from deepseek_math.door.upstream import ServedModel, Upstream
from deepseek_math.door.written import Usage, Writer, event

EVENTS = "text/event-stream; charset=utf-8"
Result = TypeVar("Result")


class Door:
    """OpenAI's API before one service."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.began = int(time.time())

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._listed(await self.upstream.model())]})

    async def model(self, request: Request) -> Response:
        model = await self._require_model(request.path_params["name"])
        return JSONResponse(self._listed(model))

    def _listed(self, model: ServedModel) -> dict[str, Any]:
        return {"id": model.name, "object": "model", "created": self.began, "owned_by": "deepseek-math"}

    async def _require_model(self, name: str | None) -> ServedModel:
        model = await self.upstream.model()
        if name not in (None, model.name):
            message = f"There is no model {name[:200]!r} here. {model.name} is served." if name else ""
            raise Refused(404, "model_not_found", message, "model")
        return model

    async def chat(self, request: Request) -> Response:
        return await self._complete(request, "chat")

    async def text(self, request: Request) -> Response:
        return await self._complete(request, "text")

    async def _complete(self, request: Request, kind: Kind) -> Response:
        asked = Asked.read(await request.body(), kind)
        model = await self._require_model(asked.model)
        writer = Writer(kind, model.name, model.fingerprint)
        if not asked.stream:
            return JSONResponse(await while_connected(request, self._whole(asked, writer)))
        chunks = self._chunks(asked, writer)
        first = await while_connected(request, anext(chunks))
        return StreamingResponse(_events(first, chunks), media_type=EVENTS)

    async def _whole(self, asked: Asked, writer: Writer) -> dict[str, Any]:
        final: dict[str, Any] = {}
        async for drawn in self.upstream.draw(asked.inputs[0], asked.written):
            final = drawn.data
        metrics = final["metrics"]
        usage = Usage(metrics["prompt_tokens"], metrics["completion_tokens"])
        return writer.whole(["".join(final["output"])], [metrics["finish_reason"]], usage, metrics)

    async def _chunks(self, asked: Asked, writer: Writer) -> AsyncGenerator[dict[str, Any], None]:
        begun = False
        async for drawn in self.upstream.draw(asked.inputs[0], asked.written):
            if drawn.kind == "output":
                if not begun:
                    yield writer.chunk(0, {"role": "assistant", "content": ""})
                begun = True
                yield writer.chunk(0, {"content": drawn.data["chunk"]})
            if drawn.kind == "completed":
                metrics = drawn.data["metrics"]
                yield writer.chunk(0, {}, metrics["finish_reason"], deepseek_math=metrics)
                if asked.include_usage:
                    yield writer.usage_chunk(Usage(metrics["prompt_tokens"], metrics["completion_tokens"]))


async def _events(first: dict[str, Any], chunks: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[bytes]:
    try:
        yield event(first)
        async for chunk in chunks:
            yield event(chunk)
    except Refused as refused:
        yield event(refused.body)
    finally:
        await chunks.aclose()
    yield event("[DONE]")


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """What `work` gives; it is ended where the client is gone before that. Raises ClientDisconnect then."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
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


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse(error.body, error.status, error.headers)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = Refused(error.status_code, "not_found", f"{request.method} {request.url.path[:200]} is not offered here.")
    return JSONResponse(refused.body, error.status_code, error.headers)


def app(upstream: Upstream) -> Starlette:
    """The door as an ASGI application."""
    door = Door(upstream)

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
        ],
        exception_handlers={Refused: _refused, HTTPException: _no_route},
        lifespan=lifespan,
    )
