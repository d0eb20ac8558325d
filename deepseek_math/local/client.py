"""A small client of Cog's HTTP API: one prediction as a stream of server-sent events."""

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import uuid4

import httpx
from httpx_sse import EventSource

from deepseek_math.doubts import DOUBTS
from deepseek_math.retry import Attempts, RetryPolicy
from deepseek_math.terminal import printable

BAR = 32  # columns of the longest bar of a tally
LABEL = 24  # columns of an answer beside its bar
STATE_SECONDS = 5.0  # between two lines about a running vote where no terminal is
TIMEOUT = httpx.Timeout(10.0, read=120.0, pool=None)  # seconds; the server sends a sign of life every 15 s
STREAM = {"Accept": "text/event-stream"}
BUSY_RETRY = RetryPolicy(first_wait=0.05, factor=1.0, longest_wait=5.0)  # after a 409: all slots are taken

CANCEL_RETRY = RetryPolicy(first_wait=0.02, longest_wait=0.3)  # an engine's step is over in between, mostly


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: `kind` is start, output, log, metric, completed or error."""

    kind: str
    data: dict[str, Any]
    at: float  # time.perf_counter() of its arrival


class PredictionRefused(Exception):
    """The server answered with something other than a stream: a 4xx or 5xx `status` and its reason."""

    def __init__(self, status: int, reason: str, retry_after: str | None = None) -> None:
        self.status = status
        self.retry_after = retry_after  # the header of that name
        super().__init__(f"HTTP {status}: {reason}")


def request_body(inputs: Mapping[str, Any], prediction_id: str | None = None) -> dict[str, Any]:
    """What is sent for a prediction, always with an id: two of Cog's own can be the same (docs/cog-faults.md)."""
    return {"id": prediction_id or uuid4().hex, "input": inputs}


def stream(
    url: str, inputs: dict[str, Any], prediction_id: str | None = None, patience: float = 5.0
) -> Generator[Event, None, None]:
    """Sends one prediction and yields its events as they arrive. Closing the iterator stops the prediction.

    A 409 is tried again for `patience` seconds. NOTE: coglet says 409 not only when it is full, but now and then
    also when two requests arrive in the same instant (its slot pool's `try_acquire` gives up on a held lock).
    """
    body = request_body(inputs, prediction_id)
    attempts = Attempts(replace(BUSY_RETRY, seconds=patience))
    while True:
        with (
            http(timeout=TIMEOUT) as session,
            session.stream("POST", f"{url}/predictions", json=body, headers=STREAM) as response,
        ):
            if response.status_code == httpx.codes.OK:
                for event in EventSource(response).iter_sse():
                    yield Event(event.event, event.json(), time.perf_counter())
                return
            reason = response.read().decode(errors="replace")
        time.sleep(_wait_while_busy(response, reason, attempts))


async def events(
    session: httpx.AsyncClient,
    url: str,
    inputs: dict[str, Any],
    prediction_id: str | None = None,
    patience: float = 5.0,
) -> AsyncGenerator[Event, None]:
    """As `stream`, for many predictions in one event loop."""
    body = request_body(inputs, prediction_id)
    attempts = Attempts(replace(BUSY_RETRY, seconds=patience))
    while True:
        async with session.stream("POST", f"{url}/predictions", json=body, headers=STREAM) as response:
            if response.status_code == httpx.codes.OK:
                async with aclosing(EventSource(response).aiter_sse()) as arriving:
                    async for event in arriving:
                        yield Event(event.event, event.json(), time.perf_counter())
                return
            reason = (await response.aread()).decode(errors="replace")
        await asyncio.sleep(_wait_while_busy(response, reason, attempts))


async def predict(
    session: httpx.AsyncClient, url: str, inputs: dict[str, Any], patience: float = 600.0
) -> dict[str, Any]:
    """One prediction in one piece: status, output, metrics, error. Leaving early stops it. A 409 is tried again for
    `patience` seconds, as in `stream`. Raises PredictionRefused, and httpx.HTTPError where the stream is lost.

    It comes as a stream, whose signs of life tell a prediction that takes hours from a server that is gone. That is
    read to its last byte: the connection is then used again.
    """
    ended: dict[str, Any] | None = None
    how = ""
    try:
        async with aclosing(events(session, url, inputs, patience=patience)) as arriving:
            async for event in arriving:
                if event.kind == "completed":
                    ended = event.data
                elif event.kind == "error":  # of the stream: this reader was too slow for it, for one
                    how = f": {event.data}"
                    break
    except httpx.HTTPError:
        if ended is None:
            raise
    if ended is None:
        raise httpx.RemoteProtocolError(f"the stream ended before the prediction did{how}")
    return ended


def _wait_while_busy(response: httpx.Response, reason: str, attempts: Attempts) -> float:
    """Seconds until a prediction that found no slot is sent again. Raises PredictionRefused for any other answer, and
    when there has been enough waiting."""
    wait, retry_after = None, response.headers.get("Retry-After")
    if response.status_code == httpx.codes.CONFLICT:
        wait = attempts.wait_after_failure(retry_after)
    if wait is None:
        raise PredictionRefused(response.status_code, reason, retry_after)
    return wait


def cancel(url: str, prediction_id: str, patience: float = 60.0) -> bool:
    """Stops a prediction, and returns when it is over; False where the server knows none of that id at work.

    Cog's server can lose a cancel in a prediction's first milliseconds, so it is asked again until it knows the id no
    longer, for `patience` seconds at most.
    """
    attempts = Attempts(replace(CANCEL_RETRY, seconds=patience))
    with http(timeout=TIMEOUT) as session:
        while session.post(f"{url}/predictions/{prediction_id}/cancel").status_code == httpx.codes.OK:
            wait = attempts.wait_after_failure()
            if wait is None:
                return True
            time.sleep(wait)
    return attempts.failures > 0


async def end(session: httpx.AsyncClient, url: str, prediction_id: str, patience: float = 60.0) -> None:
    """As `cancel`, in an event loop."""
    attempts = Attempts(replace(CANCEL_RETRY, seconds=patience))
    while (await session.post(f"{url}/predictions/{prediction_id}/cancel")).status_code == httpx.codes.OK:
        wait = attempts.wait_after_failure()
        if wait is None:
            return
        await asyncio.sleep(wait)


def http(timeout: httpx.Timeout | float) -> httpx.Client:
    """A client that asks no proxy: what it talks to is on this machine."""
    return httpx.Client(timeout=timeout, trust_env=False, verify=_tls())


def crowd(connections: int) -> httpx.AsyncClient:
    """An asynchronous client for `connections` predictions at once."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=_tls(), limits=limits)


@cache
def _tls() -> ssl.SSLContext:
    """Made once: it takes 50 ms, which httpx would spend on every request, plain http too."""
    return ssl.create_default_context()


def show(url: str, inputs: dict[str, Any]) -> int:
    """Prints a prediction's text as it is generated, then its metrics, a vote's as bars. Returns the exit status."""
    final = follow(stream(url, inputs))
    metrics = final.get("metrics", {})
    if metrics.pop("vote", None) is not None:
        print(*bars(metrics.pop("votes"), metrics["samples_without_answer"]), "", sep="\n", file=sys.stderr)
    for name, value in sorted(metrics.items()):
        shown = _shown(name, value)
        if shown:
            print(f"  {name:22} {shown}", file=sys.stderr)
    if final.get("status") == "succeeded":
        return 0
    print(f"\n{final.get('status', 'no answer')}: {fault(final)}", file=sys.stderr)
    return 1


def follow(events: Iterator[Event]) -> dict[str, Any]:
    """Prints a prediction's text as it is generated, and how its vote goes. Returns what its last event says."""
    final: dict[str, Any] = {}
    progress = Progress()
    try:
        for event in events:
            if event.kind == "output":
                progress.end()
                print(printable(event.data["chunk"]), end="", flush=True)
            elif event.kind == "metric" and event.data["name"] == "vote":
                progress.show(event.data["value"])
            elif event.kind in ("completed", "error"):
                final = event.data
    finally:
        progress.end()
        print(flush=True)
    return final


def fault(final: dict[str, Any]) -> str:
    """Why a prediction did not succeed: the service's own sentence where it has one."""
    before, _, sentence = str(final.get("error", "the stream ended early")).partition("ServiceError: ")
    return printable(sentence or before)


def _shown(name: str, value: Any) -> str:
    """A metric's value for people; empty for one that says nothing, or what is on the screen already."""
    if name == "text_so_far":
        return ""
    if name == "doubts":
        return in_words(value)
    if name == "samples":
        return printable("; ".join(f"{sample['seed']}: {sample['answer'] or 'no answer'}" for sample in value))
    if name == "token_logprobs":
        told = [token["logprob"] for group in value for token in group]
        return f"{len(told)} tokens, {sum(told) / max(1, len(told)):.4f} on average"
    if name == "repetition":
        return f"{value['length']} characters, {value['count']} times"
    return str(value).lower() if isinstance(value, bool) else printable(str(value))


def in_words(doubts: list[str]) -> str:
    """The signs that an answer is not to be trusted, on one line."""
    return "; ".join(DOUBTS[name].short if name in DOUBTS else printable(name) for name in doubts)


class Progress:
    """The state of a running vote: a line that is written over on a terminal, a new one every few seconds elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._due = time.monotonic() + STATE_SECONDS
        self._shown = False

    def show(self, vote: dict[str, Any]) -> None:
        if self._terminal:
            print(f"\r{_state(vote)}\033[K", end="", file=sys.stderr, flush=True)
            self._shown = True
        elif time.monotonic() >= self._due:
            print(_state(vote), file=sys.stderr, flush=True)
            self._due = time.monotonic() + STATE_SECONDS

    def end(self) -> None:
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._shown = False


def _state(vote: dict[str, Any]) -> str:
    """A running vote in one line; nothing once it is over, where the text follows."""
    if not vote["votes"]:
        return f"{vote['finished']} of {vote['samples']} samples finished, none with an answer"
    leader = vote["votes"][0]
    answer = printable(leader["answer"]).replace("\n", " ")
    return f"{vote['finished']} of {vote['samples']} samples finished, {answer:.60} leads with {leader['count']}"


def bars(votes: list[dict[str, Any]], silent: int) -> list[str]:
    """One line for each answer, its bar as long as its share of the votes; the `silent` without an answer come last."""
    rows = [(printable(str(group["answer"])), group["count"]) for group in votes]
    if silent:
        rows.append(("no answer", silent))
    most = max((count for _, count in rows), default=1)
    return [f"  {_label(name):{LABEL}} {'#' * round(BAR * count / most)} {count}" for name, count in rows]


def _label(text: str) -> str:
    return text if len(text) <= LABEL else f"{text[: LABEL - 3]}..."
