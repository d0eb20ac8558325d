"""An engine that plays a script, for tests of what stands around an engine."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from deepseek_math.engines.protocol import Delta, Tokenizer
from deepseek_math.gate import Gate
from deepseek_math.sampling import Sampling

Step = str | float | Exception | None  # a token's text, a pause in seconds, a fault, None for a sign of life


CONTROL = {"<|end|>": 1, "<|bos|>": 2}


class CharacterTokenizer:
    """One token a character; the tokens of `<|end|>` and `<|bos|>` are 1 and 2."""

    bos: int | None = 2
    bos_text: str = "<|bos|>"
    eos_text: str = "<|end|>"
    chat_template: str | None = None

    async def encode(self, text: str, *, control: bool) -> list[int]:
        if control:
            for name, token in CONTROL.items():
                text = text.replace(name, chr(token))
        return [ord(letter) for letter in text]

    async def piece(self, token: int) -> str:
        return next((name for name, control in CONTROL.items() if control == token), chr(token))


class ScriptedEngine:
    """Plays `script(prompt, sampling)` for every request, and counts those that are at work."""

    name = "scripted"
    tells_logprobs = True
    cache = "no cache"

    def __init__(
        self, script: Callable[[Sequence[int], Sampling], Sequence[Step]], context: int = 4096, slots: int = 2
    ) -> None:
        self.script = script
        self.context = context
        self.settings = f"context {context}"
        self.gate = Gate(slots, slots * context)
        self.tokenizer: Tokenizer = CharacterTokenizer()
        self.sharing = 0  # shared prompts that are kept now
        self.shared_while_generating: list[bool] = []
        self.letting_go = 0.0  # seconds that it takes to end a request
        self.likelihood: dict[int, float] = {}  # each token's log-probability, by seed
        self.shared: list[tuple[int, ...]] = []  # prompts that were read ahead
        self.working = 0
        self.released = 0

    async def start(self) -> None:
        pass

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]:
        tokens = 0
        self.shared_while_generating.append(self.sharing > 0)
        logprobs = (self.likelihood[sampling.seed],) if sampling.logprobs and self.likelihood else ()
        self.working += 1
        try:
            for step in self.script(prompt, sampling):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    continue
                tokens += step is not None
                if tokens > sampling.max_new_tokens:
                    yield Delta("", sampling.max_new_tokens, "length")
                    return
                drawn = logprobs if step is not None else ()
                yield Delta(step or "", tokens, logprobs=drawn, token_texts=(step or "",) * len(drawn))
            ended_by_itself = tokens < sampling.max_new_tokens  # the end takes a token too
            yield Delta("", tokens, "stop" if ended_by_itself else "length")
        finally:
            try:
                await asyncio.sleep(self.letting_go)
            finally:
                self.working -= 1
                self.released += 1

    async def share(self, prompt: Sequence[int]) -> AsyncGenerator[Delta, None]:
        self.shared.append(tuple(prompt))
        assert self.gate.running > 0, "a prompt is read outside the gate"
        self.sharing += 1
        try:
            yield Delta("", 0)
            yield Delta("", 0, "stop")
        finally:
            self.sharing -= 1

    async def healthy(self) -> bool:
        return True

    async def close(self) -> None:
        pass
