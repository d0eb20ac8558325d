"""transformers' continuous batching: the only file that touches parts of the library that are not public.

Those parts change between versions without notice, so `engines/registry.py` names the version that this file is for,
and refuses others. After an update run tests/engines/test_hf.py, then change it there.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
    ContinuousBatchingTemperatureLogitsWarper,
    ContinuousBatchingTopKLogitsWarper,
    ContinuousBatchingTopPLogitsWarper,
)
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from deepseek_math.engines.hf.noise import NO_NOISE, gumbel_noise, step_key
from deepseek_math.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Output:
    """One step of a request."""

    tokens: list[int]  # all that were generated so far
    logprobs: list[float]  # of them, by the model's own distribution: before temperature, limits and noise
    finished: bool
    error: str | None


class Manager:
    """A KV cache for one model, and the thread that serves requests from it."""

    def __init__(self, model: Any, config: transformers.ContinuousBatchingConfig) -> None:
        """Allocates the cache, records CUDA graphs on a GPU, and starts. Raises MemoryError or OutOfMemoryError."""
        self._vocabulary: int = model.config.vocab_size
        greedy = transformers.GenerationConfig(do_sample=False, eos_token_id=-1)
        self.library = model.init_continuous_batching(greedy, config)
        chain = SamplingChain(self._vocabulary)
        self.library.logit_processor = chain
        self.library.current_batch = 0
        self.library.batch_processor = self.library._create_batch_processor()
        self.library.batch_processor.model_runner._sample = chain.draw
        self.library.warmup()  # allocates the cache here, where an error can still be reported
        self.kernels = self._kernels(model)
        self._start()

    def _kernels(self, model: Any) -> str:
        """Which attention and which CUDA graphs are used, for people.

        The library decides on graphs while it warms up: with flash attention, which needs no mask, they are on.
        """
        attention = model.config._attn_implementation.removeprefix("paged|")
        for_prompts, for_steps = self.library.batch_processor.cb_config.cuda_graph_booleans
        graphs = []
        if for_prompts:
            graphs.append("prompts")
        if for_steps:
            graphs.append("single steps")
        if not graphs:
            return f"attention {attention}, no CUDA graphs"
        return f"attention {attention}, CUDA graphs for {' and '.join(graphs)}"

    def _start(self) -> None:
        """As the library's `start()`, but on a daemon thread: its own would keep a stopped server from ending."""
        self.library.background_thread_status.clear()
        thread = threading.Thread(target=self.library._run_generation_loop, daemon=True)
        self.library._generation_thread = thread
        thread.start()

    @property
    def running(self) -> bool:
        return bool(self.library.is_running())

    @property
    def accepts_requests(self) -> bool:
        """Not after a fault, nor once it was told to stop."""
        return self.library.background_thread_status.can_accept_new_requests() is None

    @property
    def steps(self) -> int:
        """How many steps it has made for all requests."""
        return int(self.library.current_batch)

    def submit(
        self,
        request_id: str,
        prompt: Sequence[int],
        sampling: Sampling,
        ends: Sequence[int],
        receive: Callable[[Output], object],
    ) -> bool:
        """Adds a request, unless it can't take any: False. `receive` is called on the calling thread's event loop, at
        each token, or at the end alone where the text is not seen to grow (see `so_far`)."""

        def deliver(output: Any) -> None:
            receive(Output(output.generated_tokens, output.logprobs, output.is_finished(), output.error))

        self.library.register_result_handler(request_id, deliver)
        accepted = self.library.add_request(
            list(prompt),
            request_id=request_id,
            max_new_tokens=sampling.max_new_tokens,
            streaming=sampling.seen,
            eos_token_id=list(ends),
            **self._options(sampling),
        )
        return accepted is not None

    def _options(self, sampling: Sampling) -> dict[str, Any]:
        """What the processors below read; nothing for a greedy request."""
        if sampling.greedy:
            return {}
        return {
            "temperature": sampling.engine_temperature,
            "top_k": min(sampling.top_k or self._vocabulary, self._vocabulary),
            "top_p": float(sampling.top_p),
            "seed": sampling.seed,
        }

    def so_far(self, request_id: str) -> Output | None:
        """What a request at work has generated, without waiting for it; None where it is not at work."""
        state = self.library.batch_processor.scheduler.active_requests.get(request_id)
        if state is None:
            return None
        logprobs = state.logprobs[:]  # the library adds one after its token
        return Output(state.generated_tokens[: len(logprobs)], logprobs, False, None)

    def cancel(self, request_id: str) -> None:
        """Asks for the request's end, which takes until the next step: see `holds`."""
        self.library.cancel_request(request_id)

    def holds(self, request_id: str) -> bool:
        """Whether the request still has a place in the cache or in the line for it."""
        processor = self.library.batch_processor
        if processor is None:
            return False
        if not self.library.cancel_queue.empty():
            return True
        scheduler = processor.scheduler
        return request_id in scheduler.active_requests or request_id in scheduler.waiting_requests

    def forget(self, request_id: str) -> None:
        """Drops what a cancelled request leaves behind: its handler, and outputs that came without one."""
        self.library.output_router.result_handlers.pop(request_id, None)
        self.library.output_router.output_queue.queue.clear()

    def stop(self, timeout: float) -> BaseException | None:
        """Ends the thread, or leaves it behind after `timeout` seconds. Returns the fault that it died of, if any."""
        self.library.stop(hard_stop=True, timeout=timeout)
        fault: BaseException | None = self.library.background_thread_status.fatal_error
        return fault

    def release_model(self) -> None:
        """Lets go of the weights, once it is stopped."""
        self.library.model = None


class GumbelProcessor(ContinuousBatchingLogitsProcessor):
    """Adds each request's Gumbel noise to its scores. The arg-max after it then is a sample."""

    supported_kwargs: dict[str, type] = {"seed": int}  # noqa: RUF012  # the library's own declaration
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.fill_(NO_NOISE)

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """One key a request, int32 [B]. A request without a seed is greedy."""
        keys = [self._key(request.state) for request in requests_with_new_token]
        return torch.tensor(keys, dtype=torch.uint32).view(torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """`scores` is float32 [B, vocab]."""
        return scores + gumbel_noise(tensor_arg[: scores.size(0)], scores.size(1))

    def _key(self, state: Any) -> int:
        seed = state.logit_processor_kwargs.get("seed")
        # NOTE: position_offset has already moved past this step's tokens, with asynchronous batching too, where
        # generated_tokens lags a step behind: it is the index in the sequence of the token to be drawn.
        return NO_NOISE if seed is None else step_key(seed, state.position_offset)


class SamplingChain(ContinuousBatchingLogitsProcessorList):
    """Temperature, top_k, top_p, noise: for each request, off unless the request names them. And the draw."""

    def __init__(self, vocabulary: int) -> None:
        processors = [
            ContinuousBatchingTemperatureLogitsWarper(TemperatureLogitsWarper(1.0)),
            ContinuousBatchingTopKLogitsWarper(TopKLogitsWarper(vocabulary)),
            ContinuousBatchingTopPLogitsWarper(TopPLogitsWarper(1.0)),
            GumbelProcessor(),
        ]
        super().__init__(LogitsProcessorList(processors))
        self.tensors_required = len(processors)  # the library counts only those it converted itself
        self._own: torch.Tensor | None = None  # float32 [B, vocab]: this step's scores as the model gave them

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, arguments: torch.Tensor) -> torch.Tensor:
        self._own = scores  # no processor writes into it
        return super().__call__(input_ids, scores, arguments)

    def draw(self, scores: torch.Tensor, output_ids: torch.Tensor) -> None:
        """In place of the library's `ModelRunner._sample`, whose log-probabilities would be those of the noise.

        `scores` is float32 [1, B, vocab], with noise. Writes to int32 [2, B or more]: the tokens, and their
        log-probabilities by the model alone, as the bits of float32.
        """
        assert self._own is not None
        own, self._own = self._own, None
        tokens = scores[0].argmax(dim=-1)
        logprobs = own.gather(1, tokens.unsqueeze(-1)).squeeze(-1) - own.logsumexp(dim=-1)
        count = tokens.size(0)
        output_ids[0, :count].copy_(tokens)
        output_ids[1, :count].copy_(logprobs.view(torch.int32))
