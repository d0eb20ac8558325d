"""The service behind the door, where Replicate runs it: the same upstream by Replicate's HTTP API.

Addresses and fields: https://replicate.com/docs/reference/http. Replicate gives a prediction its id, streams its output
from an address of its own, and keeps no metrics of a model's own: those are read from the last line of the log.

NOTE: Replicate's own Python client (1.0.7) is not used. It ends lines of a stream at U+2028, where the text goes on,
and it takes a piece of a text that begins like an address for a file.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import httpx
from httpx_sse import EventSource

from deepseek_math.door.refusals import Refused
from deepseek_math.door.upstream import ServedModel, Upstream
from deepseek_math.errors import CODES, ServiceError
from deepseek_math.local.client import STREAM, Event

PREFIX = "replicate:"
REFERENCE = re.compile(r"(?P<model>[a-zA-Z0-9._-]+/[a-zA-Z0-9._-]+)(:(?P<version>[0-9a-f]{64}))?")
API = "https://api.replicate.com"
TIMEOUT = httpx.Timeout(30.0, read=600.0)  # seconds; a cold start has nothing to say for minutes
TERMINAL = ("succeeded", "failed", "canceled")
POLL_SECONDS = 0.5
METRICS = "metrics: "  # of the log's line that holds them


def upstream(url: str, environment: Mapping[str, str] = os.environ) -> Upstream:
    """What stands behind the door: `replicate:owner/name`, with `:version` or not, or the address of a server of Cog's.
    Raises ServiceError("setting_invalid")."""
    if not url.startswith(PREFIX):
        return Upstream(url.rstrip("/"))
    reference = REFERENCE.fullmatch(url.removeprefix(PREFIX))
    if reference is None:
        raise ServiceError(
            "setting_invalid", f"{url!r:.200} names no model. Use replicate:owner/name, or with :version."
        )
    token = environment.get("REPLICATE_API_TOKEN", "").strip()
    if not token:
        raise ServiceError(
            "setting_invalid", "REPLICATE_API_TOKEN is not set. replicate.com/account/api-tokens has it."
        )
    api = environment.get("REPLICATE_BASE_URL") or API
    return ReplicateUpstream(reference["model"], reference["version"], token, api)


class ReplicateUpstream(Upstream):
    """A model at Replicate; without a version the latest one, asked for once."""

    tells_metrics = False

    def __init__(self, model: str, version: str | None, token: str, api: str = API) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        super().__init__(api, session=httpx.AsyncClient(base_url=api, headers=headers, timeout=TIMEOUT))
        self._name = model
        self._version = version
        self._created: dict[str, asyncio.Task[dict[str, Any]]] = {}  # by the door's own ids

    async def _events(self, inputs: dict[str, Any], prediction_id: str) -> AsyncGenerator[Event, None]:
        """What a server of Cog's would send, as far as Replicate tells it. That it has taken a prediction is only said
        once there is text: until then it may still be refused."""
        creating = asyncio.create_task(self._create(inputs))
        self._created[prediction_id] = creating
        created = await asyncio.shield(creating)  # a client that leaves now must leave no prediction behind
        taken = Event("metric", {"name": "ahead", "value": 0}, time.perf_counter())
        begun = False
        async with aclosing(self._stream(created["urls"]["stream"])) as pieces:
            async for piece in pieces:
                if not begun:
                    begun = True
                    yield taken
                yield Event("output", {"chunk": piece}, time.perf_counter())
        final = await self._final(created["id"])
        if not begun and final["status"] == "succeeded":
            yield taken
        self._created.pop(prediction_id)
        yield Event("completed", final, time.perf_counter())

    async def _create(self, inputs: dict[str, Any]) -> dict[str, Any]:
        body = {"version": (await self.model()).fingerprint, "input": inputs, "stream": True}
        return await self._asked("POST", "/v1/predictions", json=body)

    async def _stream(self, url: str) -> AsyncGenerator[str, None]:
        async with self._session.stream("GET", url, headers=STREAM) as response:
            response.raise_for_status()
            async with aclosing(EventSource(response).aiter_sse()) as arriving:
                async for event in arriving:
                    if event.event == "output":
                        yield event.data
                    elif event.event in ("done", "error"):  # the prediction itself says which, and why
                        return

    async def _final(self, their_id: str) -> dict[str, Any]:
        """The prediction at its end, with the metrics of the log. Its stream can end a moment before."""
        while True:
            found = await self._asked("GET", f"/v1/predictions/{their_id}")
            if found["status"] in TERMINAL:
                break
            await asyncio.sleep(POLL_SECONDS)
        return {"status": found["status"], "error": found.get("error"), "metrics": _metrics(found)}

    async def _end(self, prediction_id: str) -> None:
        creating = self._created.pop(prediction_id, None)
        if creating is None:
            return
        try:
            created = await creating
            await self._asked("POST", f"/v1/predictions/{created['id']}/cancel")
        except (httpx.HTTPError, Refused):
            return  # there is none, or it is over

    async def health(self) -> str:
        try:
            await self._asked("GET", f"/v1/models/{self._name}")
        except (httpx.HTTPError, Refused):
            return ""
        return "READY"

    async def _served(self) -> ServedModel:
        if self._version is None:
            try:
                found = await self._asked("GET", f"/v1/models/{self._name}")
            except httpx.HTTPError as error:
                raise Refused(503, "service_unreachable", f"{self.url} does not answer. Try again.") from error
            if not found.get("latest_version"):
                raise Refused(502, "service_refused", f"{self._name} has no version at Replicate yet.")
            self._version = str(found["latest_version"]["id"])
        return ServedModel(self._name, self._version)

    async def _asked(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Raises Refused for what Replicate refuses; only inputs and too many requests are the client's own fault."""
        response = await self._session.request(method, path, **body)
        try:
            found: dict[str, Any] = response.json()
        except ValueError:
            found = {}
        if response.is_success:
            return found
        said = f"Replicate answered {response.status_code}: {found.get('detail') or response.reason_phrase}"
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Refused(429, "service_full", said)
        if found.get("title") == "Input validation failed":
            raise Refused(400, "input_invalid", said)
        raise Refused(503 if response.is_server_error else 502, "service_refused", said)


def _metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction's metrics, from its log; where it has none, the code that its error names."""
    for line in reversed(str(found.get("logs") or "").splitlines()):
        if line.startswith(METRICS):
            metrics: dict[str, Any] = json.loads(line.removeprefix(METRICS))
            return metrics
    named = re.search(r"ServiceError: (\w+): ", str(found.get("error")))
    return {"error_code": named[1]} if named and named[1] in CODES else {}
