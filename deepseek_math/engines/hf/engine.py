"""The engine for safetensors checkpoints, on transformers' continuous batching.

The library has one seed for all requests, so tokens are drawn with the noise of `deepseek_math.engines.hf.noise`.
"""

import asyncio
import gc
import itertools
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from deepseek_math.engines.hf.manager import Manager, Output
from deepseek_math.engines.hf.model import cpu_bytes, load_model
from deepseek_math.engines.hf.paged_cache import plan_cache
from deepseek_math.engines.hf.tokenizer import Detokenizer, HFTokenizer
from deepseek_math.engines.memory import checked_context, require_room_for_weights
from deepseek_math.engines.protocol import Delta, Tokenizer
from deepseek_math.errors import ServiceError
from deepseek_math.gate import Gate
from deepseek_math.logs import Private
from deepseek_math.sampling import UNSEEN_STEP, Sampling

logger = logging.getLogger(__name__)

TICK = 0.25  # seconds without an output after which it is checked that the manager still works
POLL = 0.002  # seconds between two looks at whether a request is out of the manager
RELEASE_SECONDS = 60.0  # held for longer, a request means that the engine hangs: a 7B's step may take 30 on 2 cores
STOP_SECONDS = 10.0  # for the manager's thread to end; a step that takes longer is left behind on its daemon thread


class TransformersEngine:
    """Serves a folder of config.json, safetensors and tokenizer.json. Use from one event loop."""

    name = "transformers"
    tells_logprobs = True
    context: int
    tokenizer: Tokenizer
    gate: Gate
    cache: str
    settings: str
    kernels: str  # which attention and which graphs are used, for people

    def __init__(
        self,
        path: Path,
        context: int | None = None,
        slots: int | None = None,
        dtype: str | None = None,
        device_map: str | None = None,
    ) -> None:
        self._path = path
        self._wanted_context = context
        self._wanted_slots = slots
        self._dtype = dtype
        self._device_map = device_map
        self._leaving: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Task[None]] = set()  # those that the manager has not released in time
        self._request_ids = map(str, itertools.count())
        self._lock = asyncio.Lock()  # held while the manager is made or closed
        self._manager: Manager | None = None
        self._model: Any = None

    async def start(self) -> None:
        await asyncio.to_thread(self._load)
        try:
            async for _ in self.generate([next(iter(self._eos), 0)], Sampling(max_new_tokens=2)):
                pass
        except BaseException:
            await self.close()  # or the manager's thread would keep the process from ending
            raise

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]:
        assert 0 < len(prompt) <= self.context - sampling.max_new_tokens, (len(prompt), sampling.max_new_tokens)
        await self._revive()
        if self._manager is None:
            raise ServiceError("engine_failed", "The engine is closed. Send the prediction again.")
        manager, request_id = self._manager, next(self._request_ids)
        outputs: asyncio.Queue[Output] = asyncio.Queue()
        detokenizer = Detokenizer(self._hf)
        count, finished = 0, False
        try:
            self._submit(manager, request_id, outputs, prompt, sampling)
            while not finished:
                output = await self._next_output(manager, outputs)
                if output is None and not sampling.seen:
                    output = manager.so_far(request_id)
                if output is None:
                    yield Delta("", count)
                    continue
                finished = output.finished
                if output.error is not None:
                    if not self._dead():  # a fault that kills the manager is logged once, by the revival
                        logger.error("Continuous batching failed a request: %s", Private(output.error))
                    raise self._failure()
                ends = _ends(count, len(output.tokens), 1 if sampling.seen else UNSEEN_STEP, finished)
                if not ends:
                    yield Delta("", count)
                for end in ends:
                    last = finished and end == len(output.tokens)
                    stopped = last and output.tokens[-1] in self._eos
                    new = slice(count, end - stopped)
                    count = new.stop
                    texts = [*map(detokenizer.step, output.tokens[new]), *[""] * stopped]
                    delta = Delta("".join(texts), count, _reason(stopped) if last else None)
                    if sampling.logprobs:  # the end-of-sequence token has one too
                        logprobs = output.logprobs[new.start : end]
                        delta = replace(delta, logprobs=tuple(logprobs), token_texts=tuple(texts))
                    yield delta
        finally:
            if not finished:
                await self._release(manager, request_id)

    async def share(self, prompt: Sequence[int]) -> AsyncGenerator[Delta, None]:
        """Whole pages that have been read are found again by their content, until another request needs the room."""
        steps = min(2, self.context - len(prompt))  # in a request's last step the library keeps no page
        async with aclosing(self.generate(prompt, Sampling(max_new_tokens=steps))) as deltas:
            async for delta in deltas:
                yield Delta("", 0, delta.finish)

    async def _release(self, manager: Manager, request_id: str) -> None:
        """Takes a request out of the manager. Returns when it is out, at most one step later."""
        manager.cancel(request_id)
        leaving = asyncio.create_task(self._wait_until_out(manager, request_id))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        await asyncio.wait([leaving], timeout=RELEASE_SECONDS)
        if not leaving.done():
            self._held.add(leaving)
            leaving.add_done_callback(self._held.discard)
            logger.error("A request was not released within %g s: unhealthy until it is.", RELEASE_SECONDS)

    async def _wait_until_out(self, manager: Manager, request_id: str) -> None:
        try:
            while manager.running and manager.holds(request_id):  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(POLL)
        finally:
            manager.forget(request_id)

    async def healthy(self) -> bool:
        return not self._held and self._manager is not None and self._manager.running

    async def close(self) -> None:
        async with self._lock:
            manager, self._manager, self._model = self._manager, None, None
            if manager is not None:
                await asyncio.to_thread(manager.stop, STOP_SECONDS)
                manager.release_model()
            await asyncio.to_thread(gc.collect)

    def _load(self) -> None:
        """Weights, tokenizer, cache and the manager's thread. Blocks meanwhile. Raises ServiceError."""
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)  # its faults are logged here
        try:
            self.tokenizer = self._hf = HFTokenizer(self._path)
            require_room_for_weights(self._path.name, cpu_bytes(self._path, self._dtype))
            self._model = self._weights()
        except ServiceError:
            raise
        except (MemoryError, torch.OutOfMemoryError) as error:
            message = (
                f"Not enough memory for the weights of {self._path.name}. Free some, or take a smaller checkpoint."
            )
            raise ServiceError("memory_exceeded", message) from error
        except Exception as error:
            logger.exception("%s could not be loaded.", self._path)
            message = f"{self._path} could not be loaded ({type(error).__name__}). Check the files; the log says more."
            raise ServiceError("checkpoint_unusable", message) from error
        ends = self._model.generation_config.eos_token_id
        self._eos = {self._hf.eos, *(ends if isinstance(ends, list) else [ends])} - {None}
        longest = self._model.config.max_position_embeddings
        self.context = checked_context(self._wanted_context, longest)
        self.settings = f"context {self.context}, {str(self._model.dtype).removeprefix('torch.')}"
        self._plan = plan_cache(self._model, self.context, self._wanted_slots)
        self.gate, self.cache = self._plan.gate, self._plan.cache
        try:
            self._manager = self._new_manager()
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise ServiceError("memory_exceeded", f"Not enough memory for a {self.cache}. Free some.") from error

    def _weights(self) -> Any:
        return load_model(self._path, self._dtype, self._device_map)

    def _new_manager(self) -> Manager:
        manager = Manager(self._model, self._plan.config)
        self.kernels = manager.kernels
        logger.info("%s", self.kernels)
        return manager

    async def _revive(self) -> None:
        """Makes a new manager if the last one died of a fault, which is logged then."""
        async with self._lock:
            if self._dead():
                await asyncio.to_thread(self._restart)

    def _dead(self) -> bool:
        if self._manager is None:
            return self._model is not None  # the last revival failed
        return not self._manager.accepts_requests

    def _restart(self) -> None:
        """NOTE: the fault's traceback keeps the old KV cache alive. It must be gone before the new one is made."""
        manager, self._manager = self._manager, None
        if manager is not None:
            fault = manager.stop(STOP_SECONDS)
            logger.error("Continuous batching died and is started again.", exc_info=fault)
            if fault is not None:
                fault.__traceback__ = None
            del manager, fault
            gc.collect()
        try:
            self._manager = self._new_manager()
        except Exception:
            logger.exception("Continuous batching could not be started again.")

    def _failure(self) -> ServiceError:
        """What a request is told when the manager died under it. The revival goes on behind it."""
        self._revival = asyncio.create_task(self._revive())
        return ServiceError("engine_failed", "The engine failed while it worked on this prediction. Send it again.")

    def _submit(
        self,
        manager: Manager,
        request_id: str,
        outputs: asyncio.Queue[Output],
        prompt: Sequence[int],
        sampling: Sampling,
    ) -> None:
        try:
            accepted = manager.submit(request_id, prompt, sampling, list(self._eos), outputs.put_nowait)
        except Exception as error:
            raise self._failure() from error
        if not accepted:
            raise self._failure()

    async def _next_output(self, manager: Manager, outputs: asyncio.Queue[Output]) -> Output | None:
        """The request's next output, or None as a sign that the engine works on others or on a long prompt."""
        while True:
            steps = manager.steps
            try:
                async with asyncio.timeout(TICK):
                    return await outputs.get()
            except TimeoutError:
                if outputs.empty() and not manager.running:
                    raise self._failure() from None
                if manager.steps != steps:
                    return None


def _reason(stopped: bool) -> Literal["stop", "length"]:
    return "stop" if stopped else "length"


def _ends(before: int, after: int, step: int, finished: bool) -> list[int]:
    """Where the deltas end that tell the tokens from `before` to `after`: `step` at a time, and the rest at the end."""
    ends = list(range(before + step, after + 1, step))
    if finished and ends[-1:] != [after]:
        ends.append(after)
    return ends
