"""The line that a request takes: request -> prompt -> engine -> completion -> answer -> vote -> metrics."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from deepseek_math import metrics, prompts
from deepseek_math.answers.extraction import Answer, extract
from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, digest, fetch, fetch_tokenizer, find, hold
from deepseek_math.completion import Completion, OutOfTime, complete, require_room, until_out_of_time
from deepseek_math.doubts import contradicts
from deepseek_math.election import Election
from deepseek_math.engines.protocol import Engine
from deepseek_math.engines.read_ahead import read_ahead
from deepseek_math.engines.registry import open_engine, require_packages
from deepseek_math.errors import ServiceError
from deepseek_math.logs import Private
from deepseek_math.metrics import Served
from deepseek_math.prediction import Prediction
from deepseek_math.programs.loop import solve
from deepseek_math.programs.published_loop import solve_as_published
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompts import Prompt
from deepseek_math.request import Request
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings
from deepseek_math.stages import Stages

log = logging.getLogger(__name__)

LOOPS = {"service": solve, "published": solve_as_published}  # by the input tool_loop
# Takes a metric's name and its value, which JSON can hold; with "append" behind them a value joins those before it.
Record = Callable[..., None]
WARM_UP_PROMPT = "What is 2 + 3?"
WARM_UP_TOKENS = 2  # the prompt is read, and one step made


class Service:
    """A checkpoint on its engine, ready to answer."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: Engine,
        sandboxes: Sandboxes,
        digest: str | None = None,
        *,
        time_limit: float | None = None,
        log_prompts: bool = True,
    ) -> None:
        """`time_limit` is in seconds, of one prediction. Without `log_prompts` no error quotes words: Cog logs it."""
        self.checkpoint = checkpoint
        self.digest = digest
        self.engine = engine
        self.sandboxes = sandboxes
        self.time_limit = time_limit
        self.log_prompts = log_prompts

    @classmethod
    async def open(cls, settings: Settings, say: Callable[[str], None], stages: Stages | None = None) -> "Service":
        """Finds, loads and warms up the checkpoint; `say` gets a line for each step, `stages` its time.

        Programs' packages are imported meanwhile.
        """
        stages = stages or Stages(say)
        checkpoint = find(settings.checkpoint)
        say(f"checkpoint {checkpoint.name}: looking for its files")
        if checkpoint.knows:
            say(f"{checkpoint.name} knows {checkpoint.knows}")
            say("DeepSeekMath 7B is CHECKPOINT=rl")
        remote = settings.engine_url is not None
        if remote:
            path = await asyncio.to_thread(fetch_tokenizer, checkpoint, say)
        else:
            usable = partial(require_packages, checkpoint.name, settings)
            path = await asyncio.to_thread(fetch, checkpoint, say, usable)
        hold(path)
        stages.done("files", f"files in place: {path}")
        if not remote:
            read_ahead(path)
        engine = open_engine(path, checkpoint.context, settings)
        sandboxes = Sandboxes(settings.tool_processes, packages_folder=settings.program_packages)
        sandbox = asyncio.create_task(sandboxes.start())
        try:
            await engine.start()
        except BaseException:
            sandbox.cancel()
            await sandboxes.close()
            raise
        stages.done("weights", f"loaded on {engine.name}: context {engine.context} tokens, {engine.cache}")
        default = Sampling().max_new_tokens
        if engine.context <= default:
            say(f"this context is shorter than the default of {default} max_new_tokens: requests must ask for less")
        files = None if remote else await asyncio.to_thread(digest, path)
        service = cls(
            checkpoint,
            engine,
            sandboxes,
            files,
            time_limit=settings.time_limit,
            log_prompts=settings.log_prompts,
        )
        await service._warm_up()
        stages.done("warm-up", "warmed up")
        await sandbox
        stages.done("sandbox", f"sandbox: {sandboxes.offers}")
        return service

    async def complete(self, inputs: dict[str, Any], record: Record) -> AsyncGenerator[str, None]:
        """Streams the answer to raw `inputs` (see `Request.checked`); `record` gets every metric at the end, and the
        tally of a vote while it runs.

        Any fault leaves as a ServiceError, with its traceback in the log.
        """
        prediction = Prediction()
        try:
            request = Request.checked(**inputs)
            prediction.seed = request.sampling.seed
            prompt = await prompts.build(request, self.checkpoint.style, self.engine.tokenizer)
            prediction.prompt_tokens = len(prompt.ids)
            prediction.mode = prompt.mode
            require_room(len(prompt.ids), request.sampling.max_new_tokens, self.engine.context)
            if request.expected_answer or request.samples > 1:
                judge().begin()
            if prediction.tools:
                await self.sandboxes.require()
            if request.sampling.logprobs:
                self._require_logprobs()
            record("ahead", self.engine.gate.running + self.engine.gate.waiting)  # at once: the request is taken
            request = replace(request, sampling=request.sampling.with_stops(prompt.stops))
            log.info("prompt (mode %s, %d tokens): %s", prompt.mode, len(prompt.ids), Private(prompt.text))
            async with aclosing(self._in_time(prediction, prompt, request, record)) as pieces:
                async for piece in pieces:
                    yield piece
            prediction.contradicts = await contradicts(prediction.text)
            if request.expected_answer:
                prediction.correct = await _is_correct(_answer(prediction), request.expected_answer)
        except (asyncio.CancelledError, GeneratorExit):
            prediction.ended = "cancelled"
            raise
        except ServiceError as error:
            prediction.ended, prediction.error_code = "error", error.code
            log.warning("%s: %s", error.code, Private(error.message), exc_info=error.__cause__)  # faults have a cause
            if self.log_prompts:
                raise
            raise error.without_quotes() from None
        except Exception as error:
            prediction.ended, prediction.error_code = "error", "internal_error"
            log.exception("internal error")
            raise ServiceError(
                "internal_error",
                f"The service met an unexpected {type(error).__name__}; the server's log has its traceback. "
                "The next prediction is not affected.",
            ) from error
        finally:
            report = metrics.report(prediction, _answer(prediction), self._served())
            for name, value in report.items():
                record(name, value)
            logged = report if self.log_prompts else metrics.without_words(report)
            log.info("metrics: %s", json.dumps(logged))  # Replicate drops a model's own metrics, and keeps its log

    async def _in_time(
        self, prediction: Prediction, prompt: Prompt, request: Request, record: Record
    ) -> AsyncGenerator[str, None]:
        """What is drawn within the limit of time. A vote that is over it gives the text that leads, then raises."""
        drawn = self._elected if request.samples > 1 else self._single
        async with (
            aclosing(drawn(prediction, prompt, request, record)) as stream,
            aclosing(until_out_of_time(stream, self.time_limit, time.perf_counter() - prediction.arrived)) as pieces,
        ):
            try:
                async for piece in pieces:
                    yield piece
            except OutOfTime:
                if prediction.election:
                    prediction.choose(prediction.election.chosen)
                    yield prediction.text
                raise

    async def _single(
        self, prediction: Prediction, prompt: Prompt, request: Request, record: Record
    ) -> AsyncGenerator[str, None]:
        """Streams one completion as it comes."""
        prediction.chosen = completion = Completion()
        prediction.completions = [completion]
        asked = request.sampling.logprobs
        told = 0  # tokens whose log-probabilities were recorded
        async with aclosing(self._draw(prompt, request, request.sampling, completion, None)) as pieces:
            async for piece in pieces:
                known = len(completion.drawn) - 1  # the last one may be the end of sequence
                if asked and known > told:
                    record("token_logprobs", metrics.of_tokens(completion.drawn[told:known]), "append")
                    told = known
                yield piece
        if asked and completion.drawn[told:]:
            record("token_logprobs", metrics.of_tokens(completion.drawn[told:]), "append")
        if request.return_samples:
            said = metrics.of_sample(completion, request.sampling.seed, failed=False, logprobs=asked)
            record("samples", said, "append")

    async def _elected(
        self, prediction: Prediction, prompt: Prompt, request: Request, record: Record
    ) -> AsyncGenerator[str, None]:
        """The whole text of the completion that a vote chooses."""

        def draw(sampling: Sampling, completion: Completion, owner: object) -> AsyncGenerator[str, None]:
            return self._draw(prompt, request, sampling, completion, owner)

        election = Election(self.engine, prompt, request, draw, faults_abstain=prompt.mode == "tool")
        prediction.election, prediction.completions = election, election.completions

        def tell(number: int) -> None:
            if request.return_samples:
                seed, failed = request.sampling.seed + number, number in election.faults
                completion = election.completions[number]
                said = metrics.of_sample(completion, seed, failed=failed, logprobs=request.sampling.logprobs)
                record("samples", said, "append")

        await election.run(lambda tally: record("vote", tally), tell)
        prediction.choose(election.chosen)
        if request.sampling.logprobs and prediction.chosen:
            record("token_logprobs", metrics.of_tokens(prediction.chosen.drawn), "append")
        yield prediction.text

    def _draw(
        self, prompt: Prompt, request: Request, sampling: Sampling, completion: Completion, owner: object
    ) -> AsyncGenerator[str, None]:
        """Streams one completion, with programs in mode tool."""
        if prompt.mode == "tool":
            loop = LOOPS[request.tool_loop]
            rounds = request.max_tool_rounds
            return loop(self.engine, self.sandboxes, prompt, sampling, rounds, completion, owner=owner)
        return complete(self.engine, prompt, sampling, completion, owner=owner)

    def _require_logprobs(self) -> None:
        if not self.engine.tells_logprobs:
            raise ServiceError(
                "logprobs_unavailable",
                f"logprobs is true, and the engine {self.engine.name} does not tell the probabilities of its tokens. "
                "Leave logprobs out, or have vLLM or llama-server serve it.",
            )

    def _served(self) -> Served:
        engine = self.engine
        return Served(
            self.checkpoint.name, engine.name, self.digest, engine.settings, engine.context, engine.gate.slots
        )

    async def healthy(self) -> bool:
        return await self.engine.healthy()

    async def _warm_up(self) -> None:
        """One short completion of a prompt made as a client's is, so that the first client does not wait for what is
        set up lazily, such as the template."""
        tokenizer, sampling = self.engine.tokenizer, Sampling(max_new_tokens=WARM_UP_TOKENS)
        try:
            prompt = await prompts.build(Request.checked(prompt=WARM_UP_PROMPT), self.checkpoint.style, tokenizer)
            require_room(len(prompt.ids), sampling.max_new_tokens, self.engine.context)
        except ServiceError:  # a broken template or a tiny context: clients are told where it concerns them
            prompt = Prompt("raw", "?", tuple(await tokenizer.encode("?", control=False)))
        async with aclosing(complete(self.engine, prompt, sampling, Completion())) as pieces:
            async for _ in pieces:
                pass


def _answer(prediction: Prediction) -> Answer:
    """What the chosen text says its answer is; for a vote in the words that stand in the tally."""
    found = extract(prediction.text)
    leader = prediction.election and prediction.election.vote.leader
    if found.text is not None and leader:
        return Answer(leader.answer, found.source)
    return found


async def _is_correct(answer: Answer, expected: str) -> bool:
    return answer.text is not None and await judge().equivalent(answer.text, expected)
