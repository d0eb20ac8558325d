"""One request to one contender, as its client sees it: when it was sent, and when each piece of text came."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent

from deepseek_math.local.client import request_body
from deepseek_math.retry import RetryPolicy

# One connection a request: cpp-httplib, llama.cpp's HTTP, may close an idle one just as the next request is sent on it.
HEADERS = {"Accept": "text/event-stream", "Connection": "close"}
SILENCE = 900.0  # seconds after which a server counts as dead; with SLOTS=1 the last of 16 waits long for a 7B
TIMEOUT = httpx.Timeout(10.0, read=SILENCE, pool=None)  # llama.cpp's server sends nothing before a prompt is read
BUSY_RETRY = RetryPolicy(first_wait=0.5, factor=1.0)  # after a 409: the server takes no more predictions just now

Usage = tuple[int, int]  # tokens of the prompt and of the completion


class BenchError(Exception):
    """Something cannot be measured. The text says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Api:
    """How a server is asked to stream, and what its events mean. There are three, below."""

    path: str
    body: Callable[[str, int], Mapping[str, Any]]  # of a prompt and the number of tokens to generate
    text: Callable[[str, Mapping[str, Any]], str]  # of an event's kind and data
    usage: Callable[[str, Mapping[str, Any]], Usage | None]  # in the last event


@dataclass(slots=True)
class Reply:
    """Times are of `time.perf_counter()`. `ended` and the tokens are set by the last event."""

    sent: float
    given_up: float | None = None  # a server that refused the request before then is not asked again
    pieces: list[float] = field(default_factory=list)  # when text came
    ended: float | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    others_at_work: int | None = None  # of a newcomer, as it was sent


def _cog_body(prompt: str, tokens: int) -> Mapping[str, Any]:
    return request_body({"prompt": prompt, "mode": "raw", "max_new_tokens": tokens, "temperature": 0.0})


def _cog_text(kind: str, data: Mapping[str, Any]) -> str:
    return str(data["chunk"]) if kind == "output" else ""


def _cog_usage(kind: str, data: Mapping[str, Any]) -> Usage | None:
    if kind == "error" or (kind == "completed" and data.get("status") != "succeeded"):
        raise BenchError(f"A prediction failed: {data.get('error') or data}")
    if kind != "completed":
        return None
    return data["metrics"]["prompt_tokens"], data["metrics"]["completion_tokens"]


def _llama_body(prompt: str, tokens: int) -> Mapping[str, Any]:
    return {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "stream": True}


def _llama_text(kind: str, data: Mapping[str, Any]) -> str:
    return str(data.get("content", ""))


def _llama_usage(kind: str, data: Mapping[str, Any]) -> Usage | None:
    if "error" in data:
        raise BenchError(f"llama.cpp's server failed: {data['error']}")
    if not data.get("stop"):
        return None
    return data["tokens_evaluated"], data["tokens_predicted"]


def _openai_body(prompt: str, tokens: int) -> Mapping[str, Any]:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return {"prompt": prompt, "max_tokens": tokens, "temperature": 0.0, **options}


def _openai_text(kind: str, data: Mapping[str, Any]) -> str:
    if "error" in data:
        raise BenchError(f"The door failed: {data['error']}")
    return str(data["choices"][0]["text"]) if data["choices"] else ""


def _openai_usage(kind: str, data: Mapping[str, Any]) -> Usage | None:
    usage = data.get("usage")
    return (usage["prompt_tokens"], usage["completion_tokens"]) if usage else None


COG_API = Api("/predictions", _cog_body, _cog_text, _cog_usage)
LLAMA_API = Api("/completion", _llama_body, _llama_text, _llama_usage)
OPENAI_API = Api("/v1/completions", _openai_body, _openai_text, _openai_usage)


async def ask(session: httpx.AsyncClient, url: str, api: Api, reply: Reply, prompt: str, tokens: int) -> None:
    """Streams one completion and notes in `reply` what comes.

    A server that refuses it for now is asked again, until the reply is given up. Cancelling closes the connection.
    Raises BenchError.
    """
    body = api.body(prompt, tokens)
    while True:
        stream = session.stream("POST", url + api.path, json=body, headers=HEADERS, timeout=TIMEOUT)
        async with stream as response:
            if response.status_code == httpx.codes.OK:
                await _read(response, api, reply)
                return
            if response.status_code != httpx.codes.CONFLICT:
                raise BenchError(f"{url} answered {response.status_code}: {(await response.aread()).decode()}")
        await asyncio.sleep(BUSY_RETRY.wait(1, response.headers.get("Retry-After")))
        if reply.given_up:
            return


async def _read(response: httpx.Response, api: Api, reply: Reply) -> None:
    events = EventSource(response).aiter_sse()
    while event := await _next_event(events):
        if event.data == "[DONE]":
            continue
        now, kind, data = time.perf_counter(), event.event, event.json()
        if api.text(kind, data):
            reply.pieces.append(now)
        usage = api.usage(kind, data)
        if usage:
            reply.prompt_tokens, reply.tokens = usage
            reply.ended = now
    if reply.ended is None:
        raise BenchError("A stream ended before its last event.")


async def _next_event(events: AsyncIterator[ServerSentEvent]) -> ServerSentEvent | None:
    """The next event, or None at the end. Not httpx's timeout: a server's keep-alive is not an event."""
    try:
        async with asyncio.timeout(SILENCE):
            return await anext(events, None)
    except TimeoutError:
        raise BenchError(f"A server sent nothing for {SILENCE:g} s in the middle of a reply.") from None
