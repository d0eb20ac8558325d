"""One request to one contender, as its client sees it: when it was sent, when each piece of text came."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import EventSource

# One connection a request: cpp-httplib, llama.cpp's HTTP, may close an idle one just as the next request is sent on it.
HEADERS = {"Accept": "text/event-stream", "Connection": "close"}
SILENCE = 900.0  # seconds after which a server is taken for dead; with SLOTS=1 the last of 16 waits long for a 7B
TIMEOUT = httpx.Timeout(10.0, read=SILENCE, pool=None)  # llama.cpp's server sends nothing before a prompt is read
RETRY_SECONDS = 0.5  # after a 409: the server takes no more predictions just now


class BenchError(Exception):
    """A contender did not do what was asked of it; the text says what."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a server is asked to stream, and what its events say: a table of two rows, COG and LLAMA below."""

    path: str
    body: Callable[[str, int], Mapping[str, Any]]  # of a prompt and the number of tokens to generate
    text: Callable[[str, Mapping[str, Any]], str]  # of an event's kind and data
    usage: Callable[
        [str, Mapping[str, Any]], tuple[int, int] | None
    ]  # tokens of prompt and completion, in the last event


@dataclass(slots=True)
class Reply:
    """Times are of `time.perf_counter()`. `tokens` is 0 up to the end, which a reply that is left early never has."""

    sent: float
    left: float | None = None  # when it was given up: a server that refused it is not asked again
    pieces: list[float] = field(default_factory=list)  # when text came
    ended: float | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    beside: int | None = None  # of a newcomer: how many others were at work as it was sent


def _cog_usage(kind: str, data: Mapping[str, Any]) -> tuple[int, int] | None:
    if kind == "error" or (kind == "completed" and data.get("status") != "succeeded"):
        raise BenchError(f"A prediction failed: {data.get('error') or data}")
    if kind != "completed":
        return None
    return data["metrics"]["prompt_tokens"], data["metrics"]["completion_tokens"]


def _llama_usage(kind: str, data: Mapping[str, Any]) -> tuple[int, int] | None:
    if "error" in data:
        raise BenchError(f"llama.cpp's server failed: {data['error']}")
    return (data["tokens_evaluated"], data["tokens_predicted"]) if data.get("stop") else None


COG = Protocol(
    "/predictions",
    lambda prompt, tokens: {
        "input": {"prompt": prompt, "mode": "raw", "max_new_tokens": tokens, "temperature": 0.0},
    },
    lambda kind, data: data["chunk"] if kind == "output" else "",
    _cog_usage,
)
LLAMA = Protocol(
    "/completion",
    lambda prompt, tokens: {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "stream": True},
    lambda kind, data: data.get("content", ""),
    _llama_usage,
)


async def ask(session: httpx.AsyncClient, url: str, protocol: Protocol, reply: Reply, prompt: str, tokens: int) -> None:
    """Streams one completion and notes in `reply` what comes, or nothing where it is given up meanwhile.

    Leaving it early drops the request. Raises BenchError.
    """
    body = protocol.body(prompt, tokens)
    while True:
        sent = session.stream("POST", url + protocol.path, json=body, headers=HEADERS, timeout=TIMEOUT)
        async with sent as response:
            if response.status_code == httpx.codes.OK:
                await _read(response, protocol, reply)
                return
            if response.status_code != httpx.codes.CONFLICT:
                raise BenchError(f"{url} answered {response.status_code}: {(await response.aread()).decode()}")
        await asyncio.sleep(RETRY_SECONDS)
        if reply.left:
            return


async def _read(response: httpx.Response, protocol: Protocol, reply: Reply) -> None:
    events = EventSource(response).aiter_sse()
    while True:
        try:
            async with asyncio.timeout(SILENCE):  # not httpx's: a server's keep-alive is no event
                event = await anext(events)
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise BenchError(f"A server was silent for {SILENCE:g} s amid a reply.") from None
        if event.data == "[DONE]":
            continue
        now, kind, data = time.perf_counter(), event.event, event.json()
        if protocol.text(kind, data):
            reply.pieces.append(now)
        if usage := protocol.usage(kind, data):
            reply.prompt_tokens, reply.tokens = usage
            reply.ended = now
    if reply.ended is None:
        raise BenchError("A stream ended before its last event.")
