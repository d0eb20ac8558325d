"""The service behind the door, by Cog's HTTP API: draws, cancels, and what it says of itself."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from deepseek_math.door import refusals
from deepseek_math.door.counters import Counters
from deepseek_math.local import client
from deepseek_math.local.client import Event, PredictionRefused

CONNECTIONS = 1000  # more than the service takes: those over it are refused by it, and not held up here
STOP_SECONDS = 5.0  # for cancels that are on their way when the door is stopped
PATIENCE = 5.0  # seconds that a request waits for a place
REFUSED_PROMPT = {"prompt": " "}  # refused before any work, and even that answer names the checkpoint


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the service serves."""

    name: str
    fingerprint: str | None  # of its files
    context: int | None = None  # tokens of prompt and completion together


class Upstream:
    """`async with Upstream(url) as upstream`. Every prediction gets an id of the door's own."""

    tells_metrics = True  # as they are recorded: each sample, each token's log-probability

    def __init__(self, url: str, patience: float = PATIENCE, session: httpx.AsyncClient | None = None) -> None:
        self.url = url
        self.patience = patience
        self.counters = Counters()
        self._session = session or client.crowd(CONNECTIONS)
        self._cancels = set[asyncio.Task[None]]()
        self._model: ServedModel | None = None

    async def __aenter__(self) -> "Upstream":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._cancels:
            await asyncio.wait(self._cancels, timeout=STOP_SECONDS)
        await self._session.aclose()

    async def draw(self, inputs: Mapping[str, Any], written: Mapping[str, str]) -> AsyncGenerator[Event, None]:
        """A prediction's events up to `completed`. Closing it early frees the engine. Raises Refused, for what the
        service refuses and for what fails in the middle."""
        prediction_id = uuid.uuid4().hex  # Cog makes a folder of that name
        over = False
        try:
            async with aclosing(self.counters.watching(self._events(dict(inputs), prediction_id))) as arriving:
                async for event in arriving:
                    over = event.kind == "completed"
                    if over and event.data["status"] != "succeeded":
                        raise refusals.of_failure(event.data, written)
                    yield event
            if not over:
                raise refusals.unreachable(self.url)
        except PredictionRefused as refused:
            over = True
            raise refusals.of_status(refused, written) from refused
        except httpx.HTTPError as error:
            raise refusals.unreachable(self.url) from error
        finally:
            if not over:
                self._cancel(prediction_id)

    def _events(self, inputs: dict[str, Any], prediction_id: str) -> AsyncGenerator[Event, None]:
        return client.events(self._session, self.url, inputs, prediction_id, self.patience)

    def _cancel(self, prediction_id: str) -> None:
        """A dropped stream ends a prediction, but Cog can lose that in its first milliseconds."""
        task = asyncio.create_task(self._end(prediction_id))
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)

    async def _end(self, prediction_id: str) -> None:
        try:
            await client.end(self._session, self.url, prediction_id)
        except httpx.HTTPError:
            return  # gone, and its predictions with it

    async def health(self) -> str:
        """The status that the service's health check says; empty where nothing answers."""
        try:
            answer: dict[str, Any] = (await self._session.get(f"{self.url}/health-check")).json()
        except (httpx.HTTPError, ValueError):
            return ""
        return str(answer.get("status", ""))

    async def model(self) -> ServedModel:
        """Asked once. Raises Refused while the service loads or can't be reached."""
        if self._model is None:
            self._model = await self._served()
        return self._model

    async def _served(self) -> ServedModel:
        metrics = await self._metrics_of_a_refusal()
        return ServedModel(str(metrics["checkpoint"]), metrics.get("checkpoint_digest"), metrics.get("context"))

    async def _metrics_of_a_refusal(self) -> dict[str, Any]:
        try:
            final = await client.predict(self._session, self.url, REFUSED_PROMPT, self.patience)
        except PredictionRefused as refused:
            raise refusals.of_status(refused, {}) from refused
        except httpx.HTTPError as error:
            raise refusals.unreachable(self.url) from error
        metrics: dict[str, Any] = final.get("metrics", {})
        if "checkpoint" not in metrics:
            raise refusals.Refused(502, "service_unknown", f"What answers at {self.url} is not this service.")
        return metrics
