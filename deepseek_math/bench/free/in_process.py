"""The floor: an engine in this process that speaks the service's own protocol, so that no adapter is between."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from deepseek_math.bench.free.words import LOGPROB, Pace, words
from deepseek_math.engines.hf.tokenizer import HFTokenizer
from deepseek_math.engines.protocol import Delta
from deepseek_math.gate import Gate
from deepseek_math.sampling import UNSEEN_STEP, Sampling


class FreeEngine:
    """See `protocol.Engine`. All its streams make a step at once, which costs one timer."""

    name = "free"
    cache = "no KV cache"
    tells_logprobs = True

    def __init__(self, checkpoint: Path, context: int, slots: int, rate: float) -> None:
        self.context = context
        self.settings = f"{rate:g} steps/s"
        self.tokenizer = HFTokenizer(checkpoint)
        self.gate = Gate(slots, slots * context)
        self._pace = Pace(rate)
        self._waiting: list[asyncio.Future[None]] = []  # for the next step

    async def start(self) -> None:
        pass

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]:
        most, said = sampling.max_new_tokens, 0
        step = 1 if sampling.seen else UNSEEN_STEP
        for count in range(1, most + 1):
            await self._step()
            if count == most or count == said + step:
                logprobs = (LOGPROB,) * (count - said) if sampling.logprobs else ()
                yield Delta(words(said + 1, count), count, "length" if count == most else None, logprobs)
                said = count

    async def _step(self) -> None:
        if not self._pace.rate:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(self._pace.wait(), self._make_step)
        self._waiting.append(loop.create_future())
        await self._waiting[-1]

    def _make_step(self) -> None:
        waiting, self._waiting = self._waiting, []
        for stream in waiting:
            if not stream.done():
                stream.set_result(None)

    async def share(self, prompt: Sequence[int]) -> AsyncGenerator[Delta, None]:
        yield Delta("", 0, "stop")

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        pass
