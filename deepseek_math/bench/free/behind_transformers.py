"""The transformers engine with a free manager behind it: what continuous batching calls back, and nothing of its own.

One thread makes the steps. Each hands all outputs to the event loop at once, as the library does.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deepseek_math.bench.free.words import LOGPROB, Pace
from deepseek_math.engines.hf.engine import TransformersEngine
from deepseek_math.engines.hf.manager import Output
from deepseek_math.engines.hf.tokenizer import HFTokenizer
from deepseek_math.gate import Gate
from deepseek_math.sampling import Sampling

Receive = Callable[[Output], object]


class FreeManager:
    """In the place of `manager.Manager`."""

    running = accepts_requests = True

    def __init__(self, rate: float, tokens: Sequence[int]) -> None:
        self.steps = 0
        self._pace = Pace(rate)
        self._tokens = tokens
        self._logprobs = [LOGPROB] * len(tokens)
        self._requests: dict[str, tuple[int, Sampling, Receive]] = {}  # tokens made, and what was asked for
        self._lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def submit(
        self, request_id: str, prompt: Sequence[int], sampling: Sampling, ends: Sequence[int], receive: Receive
    ) -> bool:
        self._loop = asyncio.get_running_loop()
        with self._lock:
            self._requests[request_id] = 0, sampling, receive
        return True

    def so_far(self, request_id: str) -> Output | None:
        with self._lock:
            count, *_ = self._requests.get(request_id, (0,))
        return self._output(count, finished=False)

    def _output(self, count: int, finished: bool) -> Output:
        return Output(list(self._tokens[:count]), self._logprobs[:count], finished, None)

    def cancel(self, request_id: str) -> None:
        with self._lock:
            self._requests.pop(request_id, None)

    def holds(self, request_id: str) -> bool:
        return request_id in self._requests

    def forget(self, request_id: str) -> None:
        pass

    def stop(self, timeout: float) -> None:
        self.running = False

    def release_model(self) -> None:
        pass

    def _run(self) -> None:
        while self.running:
            time.sleep(self._pace.wait() or 0.001)
            outputs = self._step()
            if outputs:
                self._loop.call_soon_threadsafe(_deliver, outputs)

    def _step(self) -> list[tuple[Receive, Output]]:
        self.steps += 1
        outputs = []
        with self._lock:
            for request_id, (before, sampling, receive) in list(self._requests.items()):
                count = before + 1
                finished = count == sampling.max_new_tokens
                if sampling.seen or finished:
                    outputs.append((receive, self._output(count, finished)))
                self._requests[request_id] = count, sampling, receive
                if finished:
                    del self._requests[request_id]
        return outputs


def _deliver(outputs: list[tuple[Receive, Output]]) -> None:
    for receive, output in outputs:
        receive(output)


class FreeBehindTransformers(TransformersEngine):
    """The adapter. No weights are loaded."""

    def __init__(self, checkpoint: Path, context: int, slots: int, rate: float) -> None:
        super().__init__(checkpoint, context, slots)
        self._rate = rate
        self._shape = context, slots

    def _load(self) -> None:
        self.context, slots = self._shape
        self.tokenizer = self._hf = HFTokenizer(self._path)
        self._eos = {self._hf.eos}
        self.settings, self.kernels = f"context {self.context}", "none"
        self.gate, self.cache = Gate(slots, slots * self.context), "no KV cache"
        said = asyncio.run(self._hf.encode(" the of and to in is that for it as was with be by", control=False))
        manager: Any = FreeManager(self._rate, [said[place % len(said)] for place in range(self.context)])
        self._manager = manager
