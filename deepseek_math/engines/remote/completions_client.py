"""A client of an OpenAI-compatible server: streams of chunks, and what can go wrong with them in words.

httpx asks what is asked seldom, `connection.py` carries the completions. The package `openai` is not used: it takes
0.65 s to import and, with pydantic and jiter, 30 MB, and of what is sent and read here half is not part of its types.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

from deepseek_math.certificates import distrust
from deepseek_math.engines.remote.connection import BrokenOff, Connection, Connections
from deepseek_math.engines.remote.dialects import malformed, well_formed
from deepseek_math.engines.remote.event_stream import EventStream
from deepseek_math.engines.remote.transport import CancelSafeTransport
from deepseek_math.errors import ServiceError
from deepseek_math.logs import Private
from deepseek_math.retry import Attempts, RetryPolicy, may_pass
from deepseek_math.terminal import clause

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # for all but a completion
END_SECONDS = 1.0  # that a stream may take to end once it has said [DONE]
RETRY = RetryPolicy(attempts=4, first_wait=0.5, longest_wait=30.0)
BUSY = (429, 503)
DONE = b"[DONE]"  # the data of a stream's last event
UNKNOWN = (404, 405, 501)  # it has no such call
NOT_READY = (429, 502, 503, 504)  # it loads, or a proxy does not reach it yet

Answer = TypeVar("Answer")


class Passing(ServiceError):
    """A fault that another attempt may not meet. `answered` is the server's status and words, if it had any, and
    `retry_after` its header of that name."""

    def __init__(self, code: str, message: str, answered: str = "", retry_after: str | None = None) -> None:
        super().__init__(code, message)
        self.answered = answered
        self.retry_after = retry_after

    async def pause(self, attempts: Attempts) -> None:
        """Waits before the next attempt; raises the fault itself after the last."""
        wait = attempts.wait_after_failure(self.retry_after)
        if wait is None:
            raise self
        log.info("%s: %s; trying again in %g s", self.code, Private(self.message.partition(". ")[0]), wait)
        await asyncio.sleep(wait)


class Refused(ServiceError):
    """The server says that the request is wrong. `answered` is its status and words."""

    def __init__(self, code: str, message: str, answered: str) -> None:
        super().__init__(code, message)
        self.answered = answered


class CompletionsServer:
    """The server at `url`, which may end in /v1, or that listens at a Unix `socket`. Use from one event loop."""

    def __init__(self, url: str, key: str | None, socket: Path | None = None) -> None:
        self.root = url.rstrip("/").removesuffix("/v1")
        self.where = self.root.partition("://")[2]
        self._key = key
        self._socket = socket
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._tls = ssl.create_default_context()
        self._completions: Connections | None = None
        transport = httpx.AsyncHTTPTransport(
            uds=None if socket is None else str(socket),
            limits=httpx.Limits(max_connections=None),  # the gate bounds them
            verify=self._tls,
        )
        self._http = httpx.AsyncClient(
            headers=self._headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, pool=None),
            trust_env=False,  # no proxy: they gather what should stream
            transport=CancelSafeTransport(transport),
        )

    async def models(self) -> list[dict[str, Any]]:
        """The models that it lists. Raises ServiceError."""
        listed = await self._answer("GET", "/v1/models") or {}
        with well_formed(listed, self.hidden):
            return [model for model in listed.get("data") or [] if isinstance(model, dict) and "id" in model]

    async def detokenize(self, model: str, tokens: list[int]) -> str | None:
        """The text that it knows the tokens by, control tokens included; None where it does not tell."""
        said = await self._answer("POST", "/detokenize", {"model": model, "tokens": tokens})
        text = said and said.get("prompt", said.get("content"))  # vLLM's word, llama.cpp's word
        return None if text is None else str(text)

    async def slot_context(self) -> int | None:
        """Of llama.cpp: the tokens that one request may take."""
        said = await self._answer("GET", "/props") or {}
        with well_formed(said, self.hidden):
            context = (said.get("default_generation_settings") or {}).get("n_ctx")
            return None if context is None else int(context)

    def hidden(self, words: str) -> str:
        """What may be shown of the server's words: it may repeat the key."""
        return words.replace(self._key, "***") if self._key else words

    async def healthy(self) -> bool:
        """Both kinds have /health, which says whether the engine behind the server lives; others list their models."""
        try:
            for path in ("/health", "/v1/models"):
                answer = await self._http.get(self.root + path, timeout=3.0)
                if answer.status_code not in UNKNOWN:
                    return answer.is_success
        except httpx.HTTPError:
            pass
        return False

    async def state(self) -> str | None:
        """What keeps it from being asked now, in words; None where nothing does. Raises ServiceError where its
        certificate is not trusted, which does not pass."""
        try:
            answer = await self._http.get(f"{self.root}/health")
        except httpx.HTTPError as error:
            distrusted = distrust(error)
            if distrusted:
                raise ServiceError("engine_refused", f"{self.where}: {distrusted}.") from error
            return f"no answer ({_words(error)}). Is it running, and is ENGINE_URL right?"
        if answer.status_code in NOT_READY:
            return self._answered(answer)
        return None

    async def chunks(
        self, body: Mapping[str, Any], period: float = 0.0
    ) -> AsyncGenerator[Iterator[dict[str, Any]], None]:
        """One attempt at a streamed completion: the chunks that have come since the last time, at most every `period`
        seconds. Closing it closes the connection, which stops the server's work.

        It waits without end: the caller watches the clock. Raises ServiceError, as does a chunk that is none.
        """
        events = EventStream()
        try:
            async with self._connections().post(json.dumps(body).encode(), period) as connection:
                await self._require_events(connection, body.get("model"))
                while piece := await connection.read():
                    found = events.feed(piece)
                    if not found:  # a comment, which is no sign of life of the engine
                        continue
                    done = found[-1].startswith(DONE)
                    yield map(self._parsed, found[:-1] if done else found)
                    if done:
                        await _read_out(connection)
                        return
        except BrokenOff as error:
            raise self.broken_off(str(error)) from error
        except OSError as error:
            raise self._unreachable(error) from error

    def _connections(self) -> Connections:
        """Made at the first completion, to the address of that moment."""
        url = f"{self.root}/v1/completions"
        if self._completions is None or self._completions.url != url:
            self._completions = Connections(url, self._headers, self._tls, CONNECT_SECONDS, self._socket)
        return self._completions

    async def _require_events(self, connection: Connection, model: str | None) -> None:
        """Waits for the head of the answer. Raises ServiceError where no events follow it."""
        headers = await connection.headers()
        if not httpx.codes.is_success(connection.status):
            body = b""
            while piece := await connection.read():
                body += piece
            raise await self._refusal(httpx.Response(connection.status, headers=headers, content=body), model)
        kind = headers.get("Content-Type", "")
        if "text/event-stream" not in kind:
            raise malformed(self.hidden(f"a stream of the type {kind or 'that it does not tell'}"))

    async def close(self) -> None:
        if self._completions is not None:
            self._completions.close()
        await self._http.aclose()

    async def _answer(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """What a call other than a completion answers; None where the server has no such call."""

        async def ask() -> dict[str, Any] | None:
            try:
                answer = await self._http.request(method, self.root + path, json=body)
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
            if answer.status_code in UNKNOWN:
                return None
            if not answer.is_success:
                raise await self._refusal(answer)
            return self._parsed(answer.content)

        return await retrying(ask)

    async def _refusal(self, answer: httpx.Response, model: str | None = None) -> ServiceError:
        """A status that is not a success, in a sentence."""
        status, answered = answer.status_code, self._answered(answer)
        if status in (401, 403):
            fault = "the key in ENGINE_API_KEY" if self._key else "a request without a key: set ENGINE_API_KEY"
            return ServiceError("engine_refused", f"The server at {self.where} refuses {fault} ({answered}).")
        if status in UNKNOWN:
            known = ", ".join(str(entry["id"]) for entry in await self.models()) or "none that it lists"
            return ServiceError(
                "engine_refused",
                f"The server at {self.where} has no completions of a model {model!r} ({answered}). It has: "
                f"{known}. Set ENGINE_MODEL to one of them.",
            )
        if may_pass(status):
            code, fault = ("engine_busy", "is overloaded") if status in BUSY else ("engine_failed", "has failed")
            return Passing(
                code,
                f"The server at {self.where} {fault} ({answered}). Send the prediction again later.",
                answered,
                answer.headers.get("Retry-After"),
            )
        return Refused("engine_refused", f"The server at {self.where} refuses the request ({answered}).", answered)

    def _unreachable(self, error: httpx.HTTPError | OSError) -> Passing:
        if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | OSError):
            return self.broken_off(_words(error))
        return Passing(
            "engine_unreachable",
            f"No server can be reached at {self.where} ({_words(error)}). Is it running, and is ENGINE_URL right?",
        )

    def broken_off(self, how: str) -> Passing:
        text = f"The server at {self.where} broke off ({how}). Send the prediction again."
        return Passing("engine_unreachable", text)

    def _answered(self, answer: httpx.Response) -> str:
        """The status and the server's own words, which vLLM, llama.cpp and Ollama each put in another place."""
        try:
            said = answer.json()
            error = said.get("error", said.get("detail", said.get("message", said)))
            words = error.get("message", error) if isinstance(error, dict) else error
        except (ValueError, AttributeError, RecursionError):
            words = answer.text
        shown = clause(self.hidden(str(words)))
        return f"HTTP {answer.status_code}" + (f": {shown[:300]}" if shown else "")

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise malformed(self.hidden(data.decode(errors="replace"))) from error
        if not isinstance(value, dict):
            raise malformed(self.hidden(data.decode(errors="replace")))
        return value


async def retrying(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `ask` returns, tried again while its fault may pass."""
    attempts = Attempts(RETRY)
    while True:
        try:
            return await ask()
        except Passing as fault:
            await fault.pause(attempts)


def _words(error: Exception) -> str:
    return clause(str(error)) or type(error).__name__


async def _read_out(connection: Connection) -> None:
    """Lets an answer come to its end, so that its connection can be used again; what was asked for has come."""
    with suppress(BrokenOff, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            while await connection.read():
                pass
