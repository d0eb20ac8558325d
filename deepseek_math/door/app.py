"""The door as an ASGI application: its addresses, and what stands before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.door.endpoints import Endpoints
from deepseek_math.door.fields import CHAT, MODELS, TEXT
from deepseek_math.door.key_check import KeyCheck
from deepseek_math.door.refusals import Refused, fault_of_ours
from deepseek_math.door.upstream import Upstream


def app(upstream: Upstream, settings: DoorSettings | None = None) -> Starlette:
    """The door before `upstream`, which it opens and closes."""
    settings = settings or DoorSettings()
    endpoints = Endpoints(upstream)
    before = []
    if settings.origins:
        before.append(_cors(settings.origins))
    if settings.api_key:
        before.append(Middleware(KeyCheck, key=settings.api_key, counters=upstream.counters))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        upstream.counters.refused(error.code)
        return JSONResponse(error.body, error.status, error.headers)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with upstream:
            yield

    return Starlette(
        routes=[
            Route(MODELS, endpoints.models),
            Route(f"{MODELS}/", endpoints.models),  # before the next one, to which it is a model without a name
            Route(f"{MODELS}/{{name:path}}", endpoints.model),
            Route(CHAT, endpoints.chat, methods=["POST"]),
            Route(TEXT, endpoints.text, methods=["POST"]),
            Route("/health", endpoints.health),
            Route("/metrics", endpoints.metrics),
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
    path = request.url.path
    message = f"{request.method} {path[:200]} is not offered here. The API's addresses begin with /v1."
    plain = "/" + "/".join(filter(None, path.split("/")))  # a base address may end with a slash, or lack the /v1
    for meant in (plain, f"/v1{plain}"):
        if meant in (CHAT, TEXT, MODELS) and meant != path:
            message += f" Did you mean {meant}?"
    return JSONResponse(Refused(error.status_code, "not_found", message).body, error.status_code, error.headers)


async def _fault(_: Request, error: Exception) -> Response:
    return JSONResponse(fault_of_ours(error).body, 500)
