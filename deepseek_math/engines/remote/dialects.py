"""What kinds of completion servers take and tell beyond OpenAI's own API, as data, and their chunks as deltas.

Sources: vLLM, vllm/entrypoints/openai/completion/{protocol,serving}.py at 002032ee; llama.cpp's server, as its HTTP
API answers in xllamacpp 2026.10. A server of neither kind gets OpenAI's fields alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from deepseek_math.engines.protocol import Delta
from deepseek_math.errors import ServiceError
from deepseek_math.sampling import UNSEEN_STEP, Sampling
from deepseek_math.terminal import clause

USAGE = {"stream_options": {"include_usage": True}}
USAGE_ALWAYS = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
ANY_TOP_K = 2**31  # no vocabulary is larger, and servers keep 32 bits of a top_k


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server. What its operator has set as default sampling is overridden by `extra`."""

    name: str
    extra: Mapping[str, Any]  # fields of every request
    top_k_off: int | None = None  # what means no limit; None: the server knows no top_k
    seeds: int | None = None  # the seeds that it tells apart; None: all of ours
    logprobs: int = 0  # what asks for the drawn token's log-probability
    tells_logprobs: bool = True  # whether it then comes for certain
    greedy: Mapping[str, Any] = field(default_factory=dict)  # fields of greedy requests, in place of others
    unseen: Mapping[str, Any] = field(default_factory=dict)  # fields of requests whose text nobody sees grow
    reads_ahead: bool = False  # whether a prompt that was read for one request is kept for all

    def body(self, model: str, prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        """A request of token ids. Raises ServiceError where the server can't draw so."""
        asked = {
            "model": model,
            "prompt": list(prompt),
            "stream": True,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.engine_temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed % self.seeds if self.seeds else sampling.seed,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            **self.extra,
        }
        if self.top_k_off is not None:
            asked["top_k"] = sampling.top_k if 0 < sampling.top_k < ANY_TOP_K else self.top_k_off
        elif sampling.top_k and not sampling.greedy:
            raise ServiceError(
                "engine_refused",
                f"The engine's server speaks plain OpenAI, which has no top_k, and top_k is {sampling.top_k}. "
                "Leave it at 0, or use vLLM or llama-server.",
            )
        if sampling.greedy:
            asked |= self.greedy
        if sampling.logprobs:
            asked["logprobs"] = self.logprobs
        if not sampling.seen:
            asked |= self.unseen
        return asked


LLAMA_CPP = Dialect(
    "llama.cpp",
    {
        **USAGE,
        "samplers": ["temperature", "top_k", "top_p"],  # its default list adds min_p and ends with temperature
        "timings_per_token": True,  # the count of tokens in every chunk
        "return_progress": True,  # a chunk after each step of a long prompt
    },
    greedy={"samplers": ["top_k"], "top_k": 1},  # else all of the vocabulary would be sorted for top_p
    top_k_off=0,
    seeds=2**32 - 1,  # it reads the next one as "draw one"
    logprobs=1,
)
VLLM = Dialect(
    "vLLM",
    {**USAGE_ALWAYS, "min_p": 0.0, "repetition_penalty": 1.0},
    top_k_off=-1,  # 0 too, in newer versions alone
    unseen={"stream_interval": UNSEEN_STEP},  # a chunk for so many tokens; versions without it send one for each
    reads_ahead=True,
)
PLAIN = Dialect("plain OpenAI", USAGE, tells_logprobs=False)

# What each kind answers in a way of its own; `ignore_eos` for more than one chunk.
PROBE = {**LLAMA_CPP.extra, **USAGE_ALWAYS, "max_tokens": 4, "temperature": 0.0, "stream": True, "ignore_eos": True}


def recognised(chunks: Sequence[Mapping[str, Any]]) -> Dialect:
    """The kind of server that answers a probe so. Ray Serve LLM hands on what its vLLM says. Raises ServiceError."""
    if any("timings" in chunk for chunk in chunks):
        return LLAMA_CPP
    for chunk in chunks:
        with well_formed(chunk):
            unfinished = any(not choice.get("finish_reason") for choice in chunk["choices"] or ())
        if unfinished and chunk.get("usage"):
            return VLLM
    return PLAIN


@dataclass(slots=True)
class Chunks:
    """Reads one stream of chunks. Counts are exact for vLLM and llama.cpp; for others a chunk counts as a token up to
    the end, where the server's usage corrects the sum if it sends one. `hidden` is what may be shown of its words."""

    hidden: Callable[[str], str] = str

    tokens: int = 0
    prompt_tokens: int | None = None  # as the server counts them, once it has said so
    began: bool = False  # whether anything was generated
    _finish: Literal["stop", "length"] | None = None
    _counted: bool = field(default=False, init=False)  # by the server, which counts the end token too
    _text: str = field(default="", init=False)  # of the last chunk
    _logprobs: tuple[float, ...] = field(default=(), init=False)
    _token_texts: tuple[str, ...] = field(default=(), init=False)

    def delta(self, chunk: Mapping[str, Any]) -> Delta | None:
        """None where the chunk is the last one or comes after it. Raises ServiceError."""
        if "error" in chunk:
            error = chunk["error"]
            said = error.get("message", error) if isinstance(error, dict) else error
            shown = clause(self.hidden(str(said)))
            raise ServiceError("engine_failed", f"The engine's server gave the request up: {shown}. Send it again.")
        with well_formed(chunk, self.hidden):
            return self._read(chunk)

    def _read(self, chunk: Mapping[str, Any]) -> Delta | None:
        usage, timings = chunk.get("usage"), chunk.get("timings")
        choice: Mapping[str, Any] = chunk["choices"][0] if chunk["choices"] else {}
        text = str(choice.get("text") or "")
        self._counted = self._counted or bool(usage or timings)
        if usage:
            self.tokens, self.prompt_tokens = int(usage["completion_tokens"]), int(usage["prompt_tokens"])
        elif timings:
            self.tokens = int(timings["predicted_n"])
        elif text:
            self.tokens += 1
        reason, (logprobs, texts) = choice.get("finish_reason"), _drawn(choice.get("logprobs") or {})
        self.began = self.began or bool(text or reason or self.tokens)
        if reason:
            if reason not in ("stop", "length"):
                raise ServiceError("engine_failed", f"The engine's server ended it with {reason!r}. Send it again.")
            self._finish, self._logprobs, self._token_texts = reason, logprobs, texts
            self._text = text.rstrip("\ufffd")  # so vLLM shows the bytes of an unfinished character
        return None if self._finish else Delta(text, self.tokens, logprobs=logprobs, token_texts=texts)

    def last(self) -> Delta | None:
        """The last delta, once all has arrived; None for a stream that has broken off."""
        if self._finish is None:
            return None
        tokens = self.tokens - 1 if self._counted and self._finish == "stop" else self.tokens
        return Delta(self._text, max(tokens, 0), self._finish, self._logprobs, self._token_texts)


@contextmanager
def well_formed(said: object, hidden: Callable[[str], str] = str) -> Iterator[None]:
    """Reading `said`, of JSON, finds what should be in it; else raises ServiceError."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise malformed(hidden(str(said))) from error


def malformed(text: str) -> ServiceError:
    return ServiceError(
        "engine_failed",
        f"The engine's server sent what is no OpenAI-compatible answer: {text[:100]!r}. Is ENGINE_URL the address of "
        "such a server?",
    )


def _drawn(reported: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Log-probabilities and tokens: llama.cpp lists objects, vLLM numbers and texts as OpenAI's completions do."""
    if "content" in reported:
        drawn = [(token["logprob"], token["token"]) for token in reported["content"] or ()]
    else:
        values = reported.get("token_logprobs") or ()
        texts = reported.get("tokens") or [""] * len(values)
        drawn = [(value, text) for value, text in zip(values, texts, strict=True) if value is not None]
    return tuple(float(value) for value, _ in drawn), tuple(str(text) for _, text in drawn)
