"""What the service asks of an engine. Three implementations stand beside this file."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, Protocol

from deepseek_math.gate import Gate
from deepseek_math.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of a completion, or several where nobody sees it grow (`Sampling.seen`).

    `text` holds whole characters only and may be empty: a token can end inside a character, and an engine sends
    an empty delta with `tokens == 0` as a sign of life while it reads a long prompt.
    """

    text: str
    tokens: int  # completion tokens so far; one less on the last delta where the end-of-sequence token was counted
    finish: Literal["stop", "length"] | None = None  # set on the last delta only
    logprobs: tuple[float, ...] = ()  # of the tokens drawn, before temperature; only where asked for, if at all
    token_texts: tuple[str, ...] = ()  # of the same tokens
    at: float | None = None  # `time.perf_counter()` when it was made; None: as it arrives


def joined(deltas: Sequence[Delta]) -> Delta:
    """Steps that follow one another, as one."""
    if len(deltas) == 1:
        return deltas[0]
    last = deltas[-1]
    logprobs = tuple(chain.from_iterable(delta.logprobs for delta in deltas))
    texts = tuple(chain.from_iterable(delta.token_texts for delta in deltas))
    return replace(last, text="".join(delta.text for delta in deltas), logprobs=logprobs, token_texts=texts)


class Tokenizer(Protocol):
    """Text to token ids and back, as the checkpoint defines it. It never adds a token of its own accord."""

    bos: int | None  # the id to put before every prompt, None where the checkpoint wants none
    bos_text: str
    eos_text: str
    chat_template: str | None

    async def encode(self, text: str, *, control: bool) -> list[int]:
        """Token ids of `text`. With `control` the names of control tokens become those tokens, else plain text."""
        ...

    async def piece(self, token: int) -> str:
        """The text of one token, control tokens included."""
        ...


class Engine(Protocol):
    """Runs a checkpoint. Many requests at once; each is cancelled by closing its generator.

    Promises: the same seed gives the same text alone or beside other requests (as far as docs/determinism.md says);
    an engine that works shows it at least every STALL_SECONDS (`completion.py`), by an empty delta if need be;
    temperature 0 is greedy; no character is cut in two; memory for the KV cache is fixed when the engine starts. A
    fault ends the request with `ServiceError("engine_failed")` and leaves the engine ready for the next one.
    """

    name: str
    context: int  # tokens, prompt and completion together
    tokenizer: Tokenizer
    gate: Gate  # callers enter it before `generate`, and leave it after
    cache: str  # the bound on the KV cache, for people
    tells_logprobs: bool  # whether deltas carry them
    settings: str  # what changes texts beside the checkpoint's files: the context, the dtype, the model elsewhere

    async def start(self) -> None:
        """Loads the weights and the KV cache. Raises ServiceError."""
        ...

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta, None]:
        """Streams the completion of `prompt` (token ids, BOS included) up to `sampling.max_new_tokens` tokens.

        Where the text is not `sampling.seen` no token costs a delta of its own: UNSEEN_STEP or more are joined, always
        at the same tokens. `sampling.stop` is not the engine's business. Closing the generator returns when the engine
        has let go.
        """
        ...

    def share(self, prompt: Sequence[int]) -> AsyncGenerator[Delta, None]:
        """Reads `prompt` ahead of several completions of it, so that they need not.

        Yields signs of life and, once the prompt is read, a delta with `finish`. The caller is in the gate up to
        there, and keeps the generator open until the completions are done. It is no promise: where there is no room
        to keep what was read, each completion reads its prompt by itself.
        """
        ...

    async def healthy(self) -> bool: ...

    async def close(self) -> None: ...
