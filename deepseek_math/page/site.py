"""The page's routes, beside the door's: its three files, a font for mathematics, and solutions as they grow."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deepseek_math.answers.extraction import tidy
from deepseek_math.answers.judging import judge
from deepseek_math.door.refusals import Refused, invalid, of_error
from deepseek_math.door.upstream import Upstream
from deepseek_math.errors import ServiceError
from deepseek_math.inputs import BY_NAME
from deepseek_math.local.client import Event
from deepseek_math.page import form, solution
from deepseek_math.page.solution import Solution
from deepseek_math.request import Request as Prediction

STATIC = Path(__file__).parent / "static"
FILES = ("page.css", "page.js")
FONT = "STIXTwoMath-Regular.ttf"  # of the package ziamath; without one for mathematics, brackets do not stretch
LINES = "application/x-ndjson"
SHARE = 0.2  # of the time, that is spent on showing a text that grows
MOST = 1_000_000  # characters of a request

# Nothing is loaded from anywhere else, and no script but the page's own runs. MathML carries its layout in `style`.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Site:
    """The page before one service."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def routes(self) -> list[Route]:
        return [
            Route("/", self.index),
            *(Route(f"/page/{name}", self.file) for name in FILES),
            Route("/page/math.ttf", self.font),
            Route("/page/about", self.about),
            Route("/page/solve", self.solve, methods=["POST"]),
            Route("/page/show", self.show, methods=["POST"]),
            Route("/page/check", self.check, methods=["POST"]),
        ]

    async def index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers=HEADERS)

    async def file(self, request: Request) -> Response:
        return FileResponse(STATIC / request.url.path.rpartition("/")[2], headers=HEADERS)

    async def font(self, _: Request) -> Response:
        return FileResponse(font_file(), headers=HEADERS | {"Cache-Control": "max-age=31536000, immutable"})

    async def about(self, _: Request) -> Response:
        model = await self.upstream.model()
        return JSONResponse(form.about(model.name), headers=HEADERS)

    async def solve(self, request: Request) -> Response:
        """A prediction's inputs in; events out, one a line, for as long as the client stays."""
        inputs = await _body(request)
        unknown = sorted(set(inputs) - set(BY_NAME))
        if unknown or "prompt" not in inputs:
            raise invalid(f"{unknown[0]} is no input." if unknown else "There is no prompt.", None)
        try:
            Prediction.checked(**inputs)
        except ServiceError as error:
            raise of_error(error, {}) from error
        return StreamingResponse(_lines(self._events(inputs)), media_type=LINES, headers=HEADERS)

    async def _events(self, inputs: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        yield solution.question(inputs["prompt"])
        growing = Solution()
        try:
            async with aclosing(self.upstream.draw(inputs, {})) as drawn:
                async for event in paced(drawn):
                    if event is None:
                        yield growing.change()
                    elif event.kind == "output":
                        growing.add(event.data["chunk"])
                    elif event.kind == "metric" and event.data["name"] == "vote":
                        yield solution.vote(event.data["value"])
                    elif event.kind == "completed":
                        for shown in _ended(growing, event.data["metrics"]):
                            yield shown
        except Refused as refused:
            yield growing.change(finished=True)
            yield {"event": "refused", "sentence": refused.message, "code": refused.code}

    async def show(self, request: Request) -> Response:
        """The events of a solution that the browser kept: its question, its text and its metrics."""
        kept = await _body(request)
        growing = Solution(str(kept.get("text", "")))
        events = [solution.question(str(kept.get("prompt", "")))]
        try:
            events += _ended(growing, kept.get("metrics") or {})
        except (KeyError, TypeError, AttributeError) as error:
            raise invalid("These are no metrics of a prediction.", "metrics") from error
        return JSONResponse(events, headers=HEADERS)

    async def check(self, request: Request) -> Response:
        """Whether the answer of a reader is the same as the solution's."""
        asked = await _body(request)
        mine, answer = tidy(str(asked.get("mine", ""))), str(asked.get("answer", ""))
        if not mine:
            raise invalid("Write your answer first.", "mine")
        verdict = await judge().compare(answer, mine)
        return JSONResponse({"same": verdict.equal, "undecided": bool(verdict.reason)}, headers=HEADERS)


def _ended(growing: Solution, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The last events of a solution: its whole text, its vote if it was one, its answer."""
    tally = [solution.vote(metrics["vote"])] if metrics.get("vote") else []
    return [growing.change(finished=True), *tally, *([solution.ending(metrics)] if metrics else [])]


async def paced(drawn: AsyncIterator[Event]) -> AsyncGenerator[Event | None, None]:
    """The events, and None when what they brought is to be shown: at once, but for a share of the time at most."""
    arriving: asyncio.Task[Event] | None = None
    changed = False
    due = 0.0
    try:
        while True:
            arriving = arriving or asyncio.ensure_future(anext(drawn))
            await asyncio.wait((arriving,), timeout=max(0.0, due - monotonic()) if changed else None)
            if arriving.done():
                event = arriving.result()
                arriving = None
                changed = event.kind == "output" or (changed and event.kind != "completed")
                yield event
            if changed and monotonic() >= due:
                began = monotonic()
                yield None
                changed = False
                due = monotonic() + (monotonic() - began) * (1 / SHARE - 1)
    except StopAsyncIteration:
        return
    finally:
        if arriving is not None:
            arriving.cancel()
            with CancelScope(shield=True):  # a client that is gone cancels this too
                await asyncio.gather(arriving, return_exceptions=True)


async def _lines(events: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[bytes]:
    async with aclosing(events):
        async for event in events:
            yield json.dumps(event, ensure_ascii=False).encode() + b"\n"


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that the page has sent. What another site makes a browser send is refused."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    origin = request.headers.get("origin")
    if kind != "application/json" or (origin and origin.partition("://")[2] != request.headers.get("host")):
        raise Refused(403, "not_the_page", "This address answers the page alone. OpenAI's API is under /v1.")
    body = await request.body()
    if len(body) > MOST:
        raise Refused(413, "too_long", f"The request has {len(body)} bytes. {MOST} are taken.")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not valid JSON: {error}", None, "invalid_json") from error
    if not isinstance(found, dict):
        raise invalid("The body is not a JSON object.", None, "invalid_json")
    return found


def font_file() -> Path:
    spec = find_spec("ziamath")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "fonts" / FONT
