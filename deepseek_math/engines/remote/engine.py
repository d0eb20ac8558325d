"""The engine that is elsewhere: an OpenAI-compatible completions server that takes token ids, such as vLLM on one GPU
or on many machines, or llama-server.

Prompts, stop strings, seeds, votes, metrics and errors stay here; tokens are drawn there. The checkpoint's tokenizer is
here too, its weights are not.
"""

import asyncio
import importlib
import json
import logging
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.engines.protocol import Delta, Tokenizer
from deepseek_math.engines.remote import completions_client
from deepseek_math.engines.remote.completions_client import CompletionsServer, Passing
from deepseek_math.engines.remote.dialects import PLAIN, Chunks
from deepseek_math.engines.remote.handshake import RemoteServer, inspect
from deepseek_math.engines.remote.waiting import when_ready
from deepseek_math.errors import ServiceError
from deepseek_math.gate import Gate
from deepseek_math.retry import Attempts
from deepseek_math.sampling import UNSEEN_STEP, Sampling

log = logging.getLogger(__name__)

# Seconds between two looks at what has come of a completion: more wake-ups help no reader, and of a text that nobody
# sees grow it is enough to learn in time that it repeats itself to no end.
SEEN_PERIOD, UNSEEN_PERIOD = 1 / 30, 0.25
TICK = 15.0  # seconds of silence after which the server is asked whether it lives
FIRST_SECONDS = 600.0  # of silence before the first token: a request may stand in a long line there
BETWEEN_SECONDS = 60.0  # of silence between two tokens
Arrivals = asyncio.Queue[Sequence[Delta] | Exception]  # what has come of one completion; a fault is the last of it
UNWELL = 2  # ticks in a row at which a silent server is not well before it is given up: one answer may come late


class RemoteEngine:
    """The model at `engine_url`, with the tokenizer of the checkpoint at `path`. See `protocol.Engine`.

    What it can't promise: whether a text depends on the company it is in, and what the KV cache takes, are the server's
    matters; closing a stream returns once the connection is closed, which the server notices at its next step.
    """

    name = "remote"
    tells_logprobs: bool
    context: int
    tokenizer: Tokenizer
    gate: Gate
    cache: str
    settings: str

    def __init__(
        self,
        path: Path,
        context: int | None = None,
        slots: int = 64,
        *,
        engine_url: str,
        engine_api_key: str | None = None,
        engine_model: str | None = None,
        socket: Path | None = None,
    ) -> None:
        """`context` is the most tokens of one request; None takes all that tokenizer and server allow. `socket` is a
        Unix socket that the server listens at."""
        self._path = path
        self._words: Any = importlib.import_module(
            f"deepseek_math.engines.{'llama_cpp' if path.suffix == '.gguf' else 'hf'}.tokenizer"
        )
        self._wanted = context
        self._slots = slots
        self._model = engine_model
        self._server = CompletionsServer(engine_url, engine_api_key, socket)
        self._folder = tempfile.TemporaryDirectory(prefix="remote-")

    async def start(self) -> None:
        self.tokenizer, longest = await self._open_tokenizer()
        self._remote = await when_ready(self._server, lambda: inspect(self._server, self._model, self.tokenizer))
        self.context = self._checked(self._remote.context, longest)
        self.gate = Gate(self._slots, self._slots * self.context)
        self.cache = f"up to {self._slots} requests at once"
        self.tells_logprobs = self._remote.dialect.tells_logprobs
        self.settings = f"context {self.context}, {self._remote.model} at {self._server.where}"
        _tell(self._server.where, self._remote)

    async def _open_tokenizer(self) -> tuple[Any, int]:
        """The checkpoint's tokenizer and its context in tokens. No weights are loaded: a safetensors checkpoint needs
        no torch, a GGUF file is opened for its vocabulary."""
        path = self._path
        if path.suffix == ".gguf":
            header = read_header(path)
            return await self._words.LlamaTokenizer.open(header, path, Path(self._folder.name)), header.context
        try:
            context = int(json.loads((path / "config.json").read_text())["max_position_embeddings"])
            return await asyncio.to_thread(self._words.HFTokenizer, path), context
        except Exception as error:
            log.exception("The tokenizer of %s could not be loaded.", path)
            message = f"The tokenizer of {path} could not be loaded ({type(error).__name__}); the log says more."
            raise ServiceError("checkpoint_unusable", message) from error

    def _checked(self, limit: int | None, longest: int) -> int:
        """The smaller of both contexts. Raises ServiceError where more was asked for."""
        most = min(longest, limit or longest)
        if self._wanted is not None and self._wanted > most:
            raise ServiceError(
                "setting_invalid",
                f"CONTEXT is {self._wanted} tokens; the checkpoint can hold {longest}, the server "
                f"{limit or 'does not say'}.",
            )
        return self._wanted or most

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]:
        arrived: Arrivals = asyncio.Queue()
        pausing = asyncio.Event()
        body = self._remote.dialect.body(self._remote.model, prompt, sampling)
        period = SEEN_PERIOD if sampling.seen else UNSEEN_PERIOD
        between = BETWEEN_SECONDS * (1 if sampling.seen else UNSEEN_STEP)
        reading = asyncio.create_task(self._read(body, period, arrived, pausing))
        tokens, unwell, heard = 0, 0, time.monotonic()
        try:
            while True:
                try:
                    async with asyncio.timeout(TICK):
                        item = await arrived.get()
                except TimeoutError:
                    if pausing.is_set():  # it has answered: not now
                        unwell, heard = 0, time.monotonic()
                    else:
                        self._require_patience(time.monotonic() - heard, between if tokens else FIRST_SECONDS)
                        unwell = 0 if await self._server.healthy() else unwell + 1
                        self._require_life(unwell)
                    yield Delta("", tokens)
                    continue
                if isinstance(item, Exception):
                    raise item
                unwell, heard = 0, time.monotonic()
                for delta in item:
                    tokens = delta.tokens
                    if delta.finish == "length" and self._cut_short(tokens, len(prompt), sampling.max_new_tokens):
                        yield replace(delta, finish=None)
                        raise self._lower_limit(tokens, sampling.max_new_tokens)
                    yield delta
                    if delta.finish:
                        return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def share(self, prompt: Sequence[int]) -> AsyncGenerator[Delta, None]:
        """vLLM keeps what it has read for every request that begins so; llama.cpp's slots keep theirs to themselves."""
        if self._remote.dialect.reads_ahead:
            async with aclosing(self.generate(prompt, Sampling(max_new_tokens=1))) as deltas:
                async for _ in deltas:
                    yield Delta("", 0)
        yield Delta("", 0, "stop")

    async def healthy(self) -> bool:
        return await self._server.healthy()

    async def close(self) -> None:
        await self._server.close()
        tokenizer: Any = getattr(self, "tokenizer", None)  # none where the start has failed
        if hasattr(tokenizer, "close"):
            await tokenizer.close()
        self._folder.cleanup()

    async def _read(self, body: dict[str, Any], period: float, arrived: Arrivals, pausing: asyncio.Event) -> None:
        """Puts what comes into `arrived`, a fault last. Tries again only while nothing has been generated; `pausing` is
        set between two attempts."""
        attempts = Attempts(completions_client.RETRY)
        while True:
            chunks = Chunks(self._server.hidden)
            try:
                try:
                    async with aclosing(self._server.chunks(body, period)) as stream:
                        async for some in stream:
                            told: list[Delta] = []
                            arrived.put_nowait(told)  # read after this step of the loop, with all that a fault leaves
                            for chunk in some:
                                delta = chunks.delta(chunk)
                                if delta is not None:
                                    told.append(delta)
                    last = chunks.last()
                    if last is None:
                        raise self._server.broken_off("it ended the stream")
                except Passing as fault:
                    if chunks.began:
                        raise
                    pausing.set()
                    await fault.pause(attempts)
                    pausing.clear()
                    continue
                arrived.put_nowait([last])
            except Exception as error:
                arrived.put_nowait(error)
            return

    def _cut_short(self, tokens: int, prompt: int, asked: int) -> bool:
        """Whether a text of `tokens` tokens ended before what was asked for, where the server counts them exactly."""
        return self._remote.dialect is not PLAIN and tokens < min(asked, self.context - prompt - 1)

    def _lower_limit(self, tokens: int, asked: int) -> ServiceError:
        return ServiceError(
            "engine_refused",
            f"The server at {self._server.where} ended the text after {tokens} of {asked} tokens: it has a lower limit "
            f"of its own. Set max_new_tokens to {tokens} or less, or take the limit away there (vLLM: max_new_tokens "
            "in --override-generation-config or generation_config.json; llama-server: -n).",
        )

    def _require_patience(self, silent: float, most: float) -> None:
        if silent >= most:
            raise ServiceError(
                "engine_stalled",
                f"The server at {self._server.where} sent nothing for {silent:.0f} s, so this prediction was given up. "
                "Send it again; if that fails too, look at the server.",
            )

    def _require_life(self, unwell: int) -> None:
        if unwell >= UNWELL:
            raise ServiceError(
                "engine_unreachable",
                f"The server at {self._server.where} has gone silent and does not say that it is well. Send the "
                "prediction again.",
            )


def _tell(where: str, remote: RemoteServer) -> None:
    """What was found out, in the log of the start."""
    log.info("%s: a %s server with the model %s; prompts go as token ids", where, remote.dialect.name, remote.model)
    if not remote.compared:
        log.warning("%s has no /detokenize: NOT checked whether its vocabulary is the checkpoint's", where)
    if remote.context is None:
        log.warning("%s does not tell its context: the checkpoint's is taken", where)
