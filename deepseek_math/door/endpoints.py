"""What each address of the door answers."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from deepseek_math.checkpoints.table import ALIASES
from deepseek_math.door.asked import Asked, Kind
from deepseek_math.door.client_connection import body_of, while_connected
from deepseek_math.door.drawn import Ended, Piece, draw
from deepseek_math.door.refusals import Refused, fault_of_ours
from deepseek_math.door.upstream import ServedModel, Upstream
from deepseek_math.door.written import DONE, Choice, Writer, event

log = logging.getLogger(__name__)

EVENTS = "text/event-stream; charset=utf-8"
CLIENT_LEFT = 499  # nginx's status of a request whose client closed the connection: it is counted, and seen by nobody


class Endpoints:
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
        """With the context under vLLM's name, which clients look for."""
        listed = {"id": model.name, "object": "model", "created": self.began, "owned_by": "deepseek-math"}
        return listed | ({"max_model_len": model.context} if model.context else {})

    async def _require_model(self, name: str | None) -> ServedModel:
        model = await self.upstream.model()
        if name is None or ALIASES.get(name, name) == model.name:
            return model
        raise Refused(
            404, "model_not_found", f"There is no model {name[:200]!r} here. {model.name} is served.", "model"
        )

    async def _counted(self, request: Request, kind: Kind) -> Response:
        mode, status = "none", 500
        try:
            asked = Asked.read(await body_of(request), kind)
            mode = asked.mode
            response = await self._answer(request, asked)
            status = response.status_code
        except Refused as refused:
            status = refused.status
            raise
        except ClientDisconnect:
            status = CLIENT_LEFT
            response = Response(status_code=CLIENT_LEFT)
        except Exception as error:
            log.exception("a request failed")
            raise fault_of_ours(error) from error
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
            except Exception as error:
                log.exception("a stream broke off")
                yield event(fault_of_ours(error).body)
        yield DONE
