"""The engine for safetensors checkpoints: continuous batching of the library transformers.

Sampling is not the library's (it has one seed for all requests) but that of `deepseek_math.engines.hf.noise`.
"""

import asyncio
import gc
import itertools
import logging
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from deepseek_math.engines.hf.model import load_model
from deepseek_math.engines.hf.noise import sampling_processors
from deepseek_math.engines.hf.paged_cache import plan_cache
from deepseek_math.engines.hf.tokenizer import Detokenizer, HFTokenizer
from deepseek_math.engines.memory import checked_context
from deepseek_math.engines.protocol import Delta, Tokenizer
from deepseek_math.errors import ServiceError
from deepseek_math.gate import Gate
from deepseek_math.sampling import Sampling

logger = logging.getLogger(__name__)

TICK = 0.25  # seconds without an output after which the engine's pulse is felt
POLL = 0.002  # seconds
RELEASE_SECONDS = 60.0  # held for longer, a request means that the engine hangs: a 7B's step may take 30 on 2 cores
STOP_SECONDS = 10.0  # for the manager's thread to end; a step that takes longer is left behind, as a daemon


class TransformersEngine:
    """Serves a folder of config.json, safetensors and tokenizer.json. Use from one event loop."""

    name = "transformers"
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
        self._held: set[asyncio.Task[None]] = set()  # those that the manager has not let go of in time
        self._request_ids = map(str, itertools.count())
        self._lock = asyncio.Lock()  # held while the manager is made or closed
        self._manager: Any = None
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
        outputs: asyncio.Queue[Any] = asyncio.Queue()
        detokenizer = Detokenizer(self._hf)
        count, finished = 0, False
        try:
            self._submit(manager, request_id, outputs, prompt, sampling)
            while not finished:
                output = await self._next_output(manager, outputs)
                if output is None:
                    yield Delta("", count)
                    continue
                finished = output.is_finished()
                if output.error is not None:
                    if not self._dead():  # a fault that kills the manager is logged once, by the revival
                        logger.error("Continuous batching failed a request: %s", output.error)
                    raise self._failure()
                stopped = output.generated_tokens[-1] in self._eos
                new = output.generated_tokens[count : -1 if stopped else None]
                count += len(new)
                text = "".join(map(detokenizer.step, new))
                reason: Literal["stop", "length"] = "stop" if stopped else "length"
                yield Delta(text, count, reason if finished else None)
        finally:
            if not finished:
                await self._release(manager, request_id)

    async def share(self, prompt: Sequence[int]) -> AsyncGenerator[Delta, None]:
        """Whole pages that have been read are found again by their content, until another request needs the room."""
        steps = min(2, self.context - len(prompt))  # in a request's last step the library keeps no page
        async with aclosing(self.generate(prompt, Sampling(max_new_tokens=steps))) as deltas:
            async for delta in deltas:
                yield Delta("", 0, delta.finish)

    async def _release(self, manager: Any, request_id: str) -> None:
        """Takes a request out of the manager; returns when it is out, at most one step later."""
        manager.cancel_request(request_id)
        leaving = asyncio.create_task(self._gone(manager, request_id))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        await asyncio.wait([leaving], timeout=RELEASE_SECONDS)
        if not leaving.done():
            self._held.add(leaving)
            leaving.add_done_callback(self._held.discard)
            logger.error("A request was not let go of within %g s: unhealthy until it is.", RELEASE_SECONDS)

    async def _gone(self, manager: Any, request_id: str) -> None:
        try:
            while manager.is_running() and _holds(manager, request_id):  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(POLL)
        finally:
            manager.output_router.result_handlers.pop(request_id, None)
            manager.output_router.output_queue.queue.clear()  # where outputs without a handler would gather

    async def healthy(self) -> bool:
        return not self._held and self._manager is not None and bool(self._manager.is_running())

    async def close(self) -> None:
        async with self._lock:
            manager, self._manager, self._model = self._manager, None, None
            if manager is not None:
                await asyncio.to_thread(manager.stop, hard_stop=True, timeout=STOP_SECONDS)
                manager.model = None
            await asyncio.to_thread(gc.collect)

    def _load(self) -> None:
        """Weights, tokenizer, cache and the manager's thread; blocks for as long as that takes."""
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)  # its faults are logged here
        try:
            self.tokenizer = self._hf = HFTokenizer(self._path)
            self._model = self._weights()
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

    def _new_manager(self) -> Any:
        greedy = transformers.GenerationConfig(do_sample=False, eos_token_id=-1)
        manager = self._model.init_continuous_batching(greedy, self._plan.config)
        manager.logit_processor = sampling_processors(self._model.config.vocab_size)
        manager.current_batch = 0
        manager.warmup()  # allocates the pool here, where an error can be told; on a GPU also records CUDA graphs
        self.kernels = _kernels(self._model, manager.batch_processor.cb_config)
        logger.info("%s", self.kernels)
        _start(manager)
        return manager

    async def _revive(self) -> None:
        """Makes a new manager if the last one died of a fault, which is logged then."""
        async with self._lock:
            if self._dead():
                await asyncio.to_thread(self._restart)

    def _dead(self) -> bool:
        if self._manager is None:
            return self._model is not None  # the last revival failed
        return self._manager.background_thread_status.can_accept_new_requests() is not None

    def _restart(self) -> None:
        """NOTE: the fault's traceback keeps the old KV cache alive; it must be gone before the new one is made."""
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.stop(hard_stop=True, timeout=STOP_SECONDS)
            fault = manager.background_thread_status.fatal_error
            logger.error("Continuous batching died and is started anew.", exc_info=fault)
            if fault is not None:
                fault.__traceback__ = None
            del manager, fault
            gc.collect()
        try:
            self._manager = self._new_manager()
        except Exception:
            logger.exception("Continuous batching could not be started anew.")

    def _failure(self) -> ServiceError:
        """What a request is told when the manager died under it. The revival goes on behind it."""
        self._revival = asyncio.create_task(self._revive())
        return ServiceError("engine_failed", "The engine failed while it worked on this prediction. Send it again.")

    def _submit(
        self, manager: Any, request_id: str, outputs: asyncio.Queue[Any], prompt: Sequence[int], sampling: Sampling
    ) -> None:
        vocab = self._model.config.vocab_size
        options = {
            "temperature": sampling.engine_temperature,
            "top_k": min(sampling.top_k or vocab, vocab),
            "top_p": float(sampling.top_p),
            "seed": sampling.seed,
        }
        try:
            manager.register_result_handler(request_id, outputs.put_nowait)
            accepted = manager.add_request(
                list(prompt),
                request_id=request_id,
                max_new_tokens=sampling.max_new_tokens,
                streaming=True,
                eos_token_id=list(self._eos),
                **({} if sampling.greedy else options),
            )
        except Exception as error:
            raise self._failure() from error
        if accepted is None:
            raise self._failure()

    async def _next_output(self, manager: Any, outputs: asyncio.Queue[Any]) -> Any:
        """The request's next output, or None as a sign that the engine works on others or on a long prompt."""
        while True:
            steps = manager.current_batch
            try:
                async with asyncio.timeout(TICK):
                    return await outputs.get()
            except TimeoutError:
                if outputs.empty() and not manager.is_running():
                    raise self._failure() from None
                if manager.current_batch != steps:
                    return None


def _kernels(model: Any, config: Any) -> str:
    """The library decides on graphs when it warms up: with flash attention, which needs no mask, they are on."""
    prompts, steps = config.cuda_graph_booleans
    graphs = " and ".join(name for name, on in (("prompts", prompts), ("single steps", steps)) if on)
    attention = model.config._attn_implementation.removeprefix("paged|")
    return f"attention {attention}, {f'CUDA graphs for {graphs}' if graphs else 'no CUDA graphs'}"


def _start(manager: Any) -> None:
    """`manager.start()`, but on a daemon thread: the library's own would keep a stopped server from ending."""
    manager.background_thread_status.clear()
    manager._generation_thread = threading.Thread(target=manager._run_generation_loop, daemon=True)
    manager._generation_thread.start()


def _holds(manager: Any, request_id: str) -> bool:
    processor = manager.batch_processor
    if processor is None:
        return False
    scheduler = processor.scheduler
    queued = not manager.cancel_queue.empty()
    return queued or request_id in scheduler.active_requests or request_id in scheduler.waiting_requests
