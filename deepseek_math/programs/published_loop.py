"""Tool-integrated reasoning with the published script's rounds: what the evaluation compares with its results.

After evaluation/infer/run_tool_integrated_eval.py (deepseek-ai/DeepSeek-Math at b8b0f8c). The model writes, a program
runs, and so on: two rounds there, of at most 1024 tokens each, and the last output ends the completion. A round ends
where the model ends or begins "```output", and a program runs if the text then ends with the fence of a block. It is
all blocks so far in a new process, the earlier ones without their prints. `loop.py` says where the service differs.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from deepseek_math.completion import STALL_SECONDS, Completion, generate
from deepseek_math.engines.protocol import Engine
from deepseek_math.fences import FENCE, OUTPUT
from deepseek_math.programs.output import run_program
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.stop_strings import StopStrings

ROUND_TOKENS = 1024

BLOCK = re.compile(r"```python(.*?)```", re.DOTALL)
KEPT_LINE = re.compile(r"    |import|def ")  # of an earlier block, though it prints


async def solve_as_published(
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
    """Streams a completion as the published script has it: see `loop.solve`, whose promises hold here too.

    `sampling.max_new_tokens` bounds all rounds together; the script's own bound is `rounds` * ROUND_TOKENS.
    `finish_reason` is "tool_rounds" where the output of the last round's program ends it.
    """
    ids = prompt.ids
    async with engine.gate.enter(engine.context, owner), sandboxes.open(sampling.seed, owner) as sandbox:
        for number in range(rounds):
            room = min(ROUND_TOKENS, sampling.max_new_tokens - completion.tokens, engine.context - len(ids))
            if room <= 0:
                completion.finish_reason = "length"
                return
            stops = StopStrings((*sampling.stop, OUTPUT))
            drawn = sampling.of_round(number, room)
            async with aclosing(generate(engine, ids, drawn, stops, completion, stall_seconds)) as pieces:
                async for piece in pieces:
                    yield piece
            if completion.finish_reason == "stop" or stops.hit in sampling.stop:
                return
            program = published_program(completion.text)
            if program is not None:
                block = await run_program(sandbox, program, completion, engine.tokenizer)
                await sandbox.begin_anew()
                yield block
                completion.finish_reason = "tool_rounds"
            ids = (*prompt.ids, *await engine.tokenizer.encode(completion.text, control=False))


def published_program(text: str) -> str | None:
    """The program that the published script runs when a round ends with `text`, None if it runs none."""
    blocks = [block.strip() for block in BLOCK.findall(text)]
    blocks = [block for block in blocks if block]
    if not blocks or not text.rstrip().endswith(FENCE):
        return None
    lines = [line for block in blocks[:-1] for line in block.split("\n")]
    kept = [line for line in lines if "print(" not in line or KEPT_LINE.match(line)]
    return "\n".join([*kept, blocks[-1]])
