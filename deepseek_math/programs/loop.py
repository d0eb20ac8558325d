"""Tool-integrated reasoning: the model writes a program, its output is put into the text, the model reads on.

After the published evaluation (deepseek-ai/DeepSeek-Math at b8b0f8c, evaluation/infer/run_tool_integrated_eval.py),
with three differences. It runs all blocks anew each time, the earlier ones less their prints; here the process of a
prediction lives on between blocks, so only the new block runs. It runs two programs and ends with the second one's
output; here the client says how many, and the model has the last word. And it lets the model write "```output" before
it stops it; here the end of a block ends the round, which mostly leaves the same text. `published_loop.py` has none of
these differences.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from textwrap import dedent

from deepseek_math.completion import STALL_SECONDS, Completion, generate
from deepseek_math.engines.protocol import Engine
from deepseek_math.fences import CLOSING, FENCE, OPENING, OUTPUT
from deepseek_math.programs.output import run_program
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.stop_strings import StopStrings


async def solve(
    engine: Engine,
    sandboxes: Sandboxes,
    prompt: Prompt,
    sampling: Sampling,
    rounds: int,
    completion: Completion,
    *,
    owner: object = None,
    stall_seconds: float = STALL_SECONDS,
) -> AsyncGenerator[str, None]:
    """Streams a completion in which up to `rounds` programs run: the model's text and their outputs, in order.

    `sampling.max_new_tokens` bounds the model's tokens alone; outputs count against the context. See `complete`, and
    call `sandboxes.require` first. Closing the stream at any point frees the engine and ends the program.

    The place in the gate is kept while a program runs: only so does the engine still hold the KV cache of what came
    before when it goes on, and a program is bounded. The whole context is reserved, for outputs are not known ahead.
    """
    ids = prompt.ids
    async with engine.gate.enter(engine.context, owner), sandboxes.open(sampling.seed, owner) as sandbox:
        for number in count():
            room = min(sampling.max_new_tokens - completion.tokens, engine.context - len(ids))
            if room <= 0:
                completion.finish_reason = "length"
                return
            watch = ProgramWatch(sampling.stop)
            drawn = sampling.of_round(number, room)
            async with aclosing(generate(engine, ids, drawn, watch, completion, stall_seconds)) as pieces:
                async for piece in pieces:
                    yield piece
            if watch.program is None:
                return
            if number == rounds:
                completion.finish_reason = "tool_rounds"
                return
            completion.finish_reason = None
            if completion.tokens >= sampling.max_new_tokens:
                completion.finish_reason = "length"
                return
            yield await run_program(sandbox, watch.program, completion, engine.tokenizer)
            # The text is tokenised anew, as the published scripts do: what the model reads then never depends on how
            # it spelt its own text in tokens, and the cut at a block's end may lie inside a token anyway. Where both
            # spellings agree, which is nearly always, the KV cache of what came before is used.
            ids = (*prompt.ids, *await engine.tokenizer.encode(completion.text, control=False))


class ProgramWatch:
    """Lets text through up to the end of the first program in it, or to a stop string that comes before.

    A program is what stands in a block that `fences` calls one, if it is not blank. As with `StopStrings` the result
    depends on the whole text alone, never on its chunks.
    """

    def __init__(self, strings: tuple[str, ...]) -> None:
        self.program: str | None = None
        self._stops = StopStrings((*strings, OUTPUT))  # the model may not make outputs up
        self._text = ""
        self._start: int | None = None  # of the open block
        self._searched = 0  # the line that is looked through next

    @property
    def hit(self) -> str | None:
        return FENCE if self.program is not None else self._stops.hit

    def feed(self, text: str) -> str:
        if self.hit is not None:
            return ""
        before = len(self._text)
        self._text += text
        end, program = self._closed()
        if end is None:
            return self._stops.feed(text)
        let_through = self._stops.feed(text[: end - before])
        if self._stops.hit is None:
            self.program = program
            let_through += self._stops.flush()
        return let_through

    def flush(self) -> str:
        return self._stops.flush()

    def _closed(self) -> tuple[int, str] | tuple[None, None]:
        """Where the first program's block ends, and the program."""
        while fence := (OPENING if self._start is None else CLOSING).search(self._text, self._searched):
            self._searched = fence.end()
            if self._start is None:
                self._start = fence.end()
                continue
            program = dedent(self._text[self._start : fence.start()])
            if program.strip():
                return fence.end(), program
            self._start = None
        self._searched = max(self._searched, self._text.rfind("\n") + 1)
        return None, None
