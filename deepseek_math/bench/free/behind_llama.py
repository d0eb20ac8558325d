"""llama.cpp's adapter with a free engine behind it: the chunks of xllamacpp's callback, from a thread a request.

What llama.cpp itself spends on a chunk is not in it: making its JSON, and the way from its own thread to the request's.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepseek_math.bench.free.words import LOGPROB, Pace, word
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine

# As xllamacpp 2026.10.11549 writes them for the adapter's body; %s stands for a text, logprobs, and counts.
HEAD = (
    '{"choices":[{"text":%s,"index":0,"logprobs":%s,"finish_reason":%s}],"created":1795819259,'
    '"model":"weights/tiny/rl.gguf","system_fingerprint":"b0-unknown","object":"text_completion",'
)
PARTIAL = (
    HEAD + '"id":"chatcmpl-wL7aUSh9odqk6e0y1NNLC1kV8YhuXYC6","__verbose":{"index":0,"content":%s,"tokens":[278],'
    '"stop":false,"id_slot":-1,"tokens_predicted":%d,"tokens_evaluated":7%s}}'
)
FINAL = (
    HEAD + '"usage":{"completion_tokens":%d,"prompt_tokens":7,"total_tokens":%d},'
    '"id":"chatcmpl-wL7aUSh9odqk6e0y1NNLC1kV8YhuXYC6","__verbose":{"index":0,"content":"","tokens":[],"id_slot":0,'
    '"stop":true,"tokens_predicted":%d,"tokens_evaluated":7}}'
)


def partial(count: int, n_probs: int) -> bytes:
    """The chunk of one token."""
    text, logprobs, probabilities = json.dumps(word(count)), "null", ""
    if n_probs:
        token = f'{{"id":278,"token":{text},"bytes":[32,116],"logprob":{LOGPROB}'
        content = f'[{token},"top_logprobs":[{token}}}]}}]'
        logprobs, probabilities = f'{{"content":{content}}}', f',"completion_probabilities":{content}'
    return (PARTIAL % (text, logprobs, "null", text, count, probabilities)).encode()


def final(count: int) -> bytes:
    return (FINAL % ('""', "null", '"length"', count, count + 7, count)).encode()


class FreeLlama:
    """In the place of xllamacpp's `Server`: says so many words as are asked for."""

    def __init__(self, rate: float, longest: int) -> None:
        self._pace = Pace(rate)
        # Made ahead: a chunk costs nothing when it is due.
        self._chunks = {n_probs: [partial(count, n_probs) for count in range(1, longest + 1)] for n_probs in (0, 1)}

    def handle_completions(self, body: bytes, heard: Callable[[bytes], bool]) -> None:
        asked: dict[str, Any] = json.loads(body)
        for chunk in self._chunks[asked["n_probs"]][: asked["max_tokens"]]:
            time.sleep(self._pace.wait())
            if heard(chunk):
                return
        heard(final(asked["max_tokens"]))


class FreeBehindLlama(LlamaCppEngine):
    """The adapter. Its tokenizer is that of the real llama.cpp, which computes nothing else."""

    def __init__(self, checkpoint: Path, context: int, slots: int, rate: float) -> None:
        super().__init__(checkpoint, context, slots)
        self._rate = rate

    async def start(self) -> None:
        await super().start()
        self._llama, self._server = self._server, FreeLlama(self._rate, self.context)
