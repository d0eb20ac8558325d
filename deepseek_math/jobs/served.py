"""What answers: a service that runs, several that serve the same, or one that is started here."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from deepseek_math.jobs import JobError
from deepseek_math.local import client
from deepseek_math.local.server import LocalServer

SLOTS = 16  # of a service that does not say how many it has
WAITING = 4  # questions in flight beside those, so that the next is there when a slot is free
MAX_IN_FLIGHT = 64  # predictions that a service takes at once; it answers the next with 409


@dataclass(frozen=True, slots=True)
class Served:
    """What answers: the checkpoint by name and digest of its files, its engine and the engine's slots, its inputs.

    `digest`, `slots` and `settings` (of the engine: context, dtype, the model elsewhere) are None of a service that
    does not say.
    """

    checkpoint: str
    digest: str | None
    engine: str
    slots: int | None
    inputs: frozenset[str]
    settings: str | None = None

    def __str__(self) -> str:
        settings = f" ({self.settings})" if self.settings else ""
        return f"{self.checkpoint} ({self.digest or 'of unknown digest'}) on {self.engine}{settings}"

    @property
    def in_flight(self) -> int:
        """Questions that keep the service's slots filled."""
        return min(MAX_IN_FLIGHT, (self.slots or SLOTS) + WAITING)

    def header(self) -> dict[str, Any]:
        """What a journal's header says of it: a run goes on only with the same."""
        return {
            "checkpoint": self.checkpoint,
            "checkpoint_digest": self.digest,
            "engine": self.engine,
            "engine_settings": self.settings,
        }


@contextmanager
def services(urls: Sequence[str] | None, ray: int | None, say: Callable[[str], None]) -> Iterator[list[str]]:
    """Addresses of the services to ask: those that `urls` names, none where Ray's workers start their own, else one
    that is started here. Raises ServerFailed."""
    if urls:
        yield [url.rstrip("/") for url in urls]
    elif ray:
        yield []
    else:
        with LocalServer(say=say) as server:
            yield [server.url]


def identify_all(urls: Sequence[str]) -> Served:
    """What the services are. Raises JobError unless all serve the same."""
    first, *others = [asyncio.run(identify(url)) for url in urls]
    for url, other in zip(urls[1:], others, strict=True):
        if str(other) != str(first) or other.inputs != first.inputs:
            raise JobError(
                f"{url} serves {other}, but {urls[0]} serves {first}. All services of a run must serve the same."
            )
    return first


async def identify(url: str) -> Served:
    """What the service is, by a prediction of one token, and its inputs. Raises JobError."""
    hello = {"prompt": "1+1=", "mode": "raw", "max_new_tokens": 1, "temperature": 0.0}
    try:
        async with client.crowd(1) as session:
            document = (await session.get(f"{url}/openapi.json")).json()
            prediction = await client.predict(session, url, hello, patience=60.0)
        metrics = prediction["metrics"]
        return Served(
            metrics["checkpoint"],
            metrics.get("checkpoint_digest"),
            metrics["engine"],
            metrics.get("slots"),
            frozenset(document["components"]["schemas"]["Input"]["properties"]),
            metrics.get("engine_settings"),
        )
    except (httpx.HTTPError, client.PredictionRefused, json.JSONDecodeError, KeyError) as error:
        raise JobError(
            f"{url} does not answer as this service does ({type(error).__name__}: {error}). Check that it is running "
            "and READY."
        ) from error
