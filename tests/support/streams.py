"""What an engine says to a prompt of token ids."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from deepseek_math.engines.protocol import Delta, Tokenizer
from deepseek_math.sampling import Sampling


class Speaker(Protocol):
    """As much of an engine as is needed here."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]: ...


async def deltas(engine: Speaker, prompt: Sequence[int], sampling: Sampling) -> list[Delta]:
    async with aclosing(engine.generate(prompt, sampling)) as stream:
        return [delta async for delta in stream]


async def text_of(engine: Speaker, prompt: Sequence[int], sampling: Sampling) -> str:
    return "".join(delta.text for delta in await deltas(engine, prompt, sampling))


async def chat(engine: Speaker, question: str) -> list[int]:
    """`question` as DeepSeek's chat template puts it."""
    bos = [] if engine.tokenizer.bos is None else [engine.tokenizer.bos]
    return bos + await engine.tokenizer.encode(f"User: {question}\n\nAssistant:", control=True)
