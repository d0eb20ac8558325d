"""The line that a request takes: request -> prompt -> engine -> completion -> answer -> vote -> metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from deepseek_math import prompts
from deepseek_math.answers.extraction import extract
from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, digest, fetch, fetch_tokenizer, find
from deepseek_math.completion import Completion, complete, require_room
from deepseek_math.engines.protocol import Engine
from deepseek_math.engines.registry import open_engine
from deepseek_math.errors import ServiceError
from deepseek_math.metrics import Metrics
from deepseek_math.programs.loop import solve
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompts import Prompt
from deepseek_math.request import Request
from deepseek_math.samples import elect
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings

log = logging.getLogger(__name__)

Record = Callable[[str, Any], None]  # a metric's name and its value, which JSON can hold
WARM_UP = "What is 2 + 3?"


class Service:
    """A checkpoint on its engine, ready to answer."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: Engine,
        sandboxes: Sandboxes,
        digest: str | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.digest = digest
        self.engine = engine
        self.sandboxes = sandboxes

    @classmethod
    async def open(cls, settings: Settings, say: Callable[[str], None]) -> "Service":
        """Finds, loads and warms up the checkpoint; `say` gets a line for each step, with its time."""
        clock = time.perf_counter()

        def step(text: str) -> None:
            nonlocal clock
            now = time.perf_counter()
            say(f"{text} ({now - clock:.1f} s)")
            clock = now

        checkpoint = find(settings.checkpoint)
        say(f"checkpoint {checkpoint.name}: looking for its files")
        path = await asyncio.to_thread(fetch_tokenizer if settings.engine_url else fetch, checkpoint, say)
        step(f"files in place: {path}")
        engine = open_engine(path, checkpoint.context, settings)
        await engine.start()
        step(f"loaded on {engine.name}: context {engine.context} tokens, {engine.cache}")
        if engine.context <= (default := Sampling().max_new_tokens):
            say(f"requests must ask for less than the default of {default} max_new_tokens to fit this context")
        files = None if settings.engine_url else await asyncio.to_thread(digest, path)
        service = cls(checkpoint, engine, Sandboxes(settings.tool_processes), files)
        await service._warm_up()
        step("warmed up")
        await service.sandboxes.start()
        step(f"sandbox: {service.sandboxes.offers}")
        return service

    async def complete(self, inputs: dict[str, Any], record: Record) -> AsyncGenerator[str, None]:
        """Streams the answer to raw `inputs` (see `Request.checked`); `record` gets every metric at the end, and the
        state of a vote while it runs.

        Any fault leaves as a ServiceError, with its traceback in the log.
        """
        metrics = Metrics(
            self.checkpoint.name, self.engine.name, self.digest, self.engine.settings, self.engine.gate.slots
        )
        try:
            request = Request.checked(**inputs)
            metrics.seed = request.sampling.seed
            prompt = await prompts.build(request, self.checkpoint.style, self.engine.tokenizer)
            metrics.prompt_tokens = len(prompt.ids)
            require_room(len(prompt.ids), request.sampling.max_new_tokens, self.engine.context)
            if request.expected_answer or request.samples > 1:
                judge().begin()
            if prompt.mode == "tool":
                await self.sandboxes.require()
            log.info("prompt (mode %s, %d tokens): %s", prompt.mode, len(prompt.ids), prompt.text)
            async with aclosing(self._drawn(prompt, request, metrics, record)) as pieces:
                async for piece in pieces:
                    yield piece
            self._answered(metrics)
            if request.expected_answer:
                metrics.correct = metrics.answer is not None and await judge().equivalent(
                    metrics.answer, request.expected_answer
                )
        except (asyncio.CancelledError, GeneratorExit):
            metrics.ended = "cancelled"
            raise
        except ServiceError as error:
            metrics.ended, metrics.error_code = "error", error.code
            log.warning("%s", error, exc_info=error.__cause__)  # a refusal has no cause, a fault has
            raise
        except Exception as error:
            metrics.ended, metrics.error_code = "error", "internal_error"
            log.exception("internal error")
            raise ServiceError(
                "internal_error",
                f"The service met an unexpected {type(error).__name__}; the server's log has its traceback. "
                "The next prediction is not affected.",
            ) from error
        finally:
            self._answered(metrics)
            for name, value in metrics.report().items():
                record(name, value)

    def _answered(self, metrics: Metrics) -> None:
        """What the text says its answer is; for a vote in the words that stand in the tally."""
        found = extract(metrics.text)
        metrics.answer, metrics.answer_source = found.text, found.source
        if found.text is not None and metrics.vote and metrics.vote.leader:
            metrics.answer = metrics.vote.leader.answer

    def _drawn(self, prompt: Prompt, request: Request, metrics: Metrics, record: Record) -> AsyncGenerator[str, None]:
        """The text of one completion as it comes, or of the one that a vote has chosen."""

        def draw(sampling: Sampling, completion: Completion, owner: object) -> AsyncGenerator[str, None]:
            if prompt.mode == "tool":
                rounds = request.max_tool_rounds
                return solve(self.engine, self.sandboxes, prompt, sampling, rounds, completion, owner=owner)
            return complete(self.engine, prompt, sampling, completion, owner=owner)

        metrics.tools = prompt.mode == "tool"
        if request.samples > 1:
            return elect(self.engine, prompt, request, metrics, record, draw)
        metrics.completions = [Completion()]
        metrics.chosen = metrics.completions[0]
        return draw(request.sampling, metrics.chosen, None)

    async def healthy(self) -> bool:
        return await self.engine.healthy()

    async def _warm_up(self) -> None:
        """One short completion of a prompt made as a client's is, so that the first client does not pay for what is
        set up lazily, the template among it."""
        tokenizer, sampling = self.engine.tokenizer, Sampling(max_new_tokens=8)
        try:
            prompt = await prompts.build(Request.checked(prompt=WARM_UP), self.checkpoint.style, tokenizer)
            require_room(len(prompt.ids), sampling.max_new_tokens, self.engine.context)
        except ServiceError:  # a broken template, a tiny context: clients hear of it where it concerns them
            prompt = Prompt("raw", "?", tuple(await tokenizer.encode("?", control=False)))
        async with aclosing(complete(self.engine, prompt, sampling, Completion())) as pieces:
            async for _ in pieces:
                pass
