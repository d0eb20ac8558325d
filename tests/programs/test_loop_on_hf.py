"""Tool mode on the transformers engine, whose tiny checkpoint writes no program: one is put in its mouth."""

from contextlib import aclosing
from pathlib import Path

import pytest

from deepseek_math.completion import Completion
from deepseek_math.engines.registry import open_engine
from deepseek_math.programs import loop as tools
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings
from tests.support.tiny_llama import make_tiny_llama


class Eager(tools.ProgramWatch):
    """Takes the first 20 characters of a round for the end of a program."""

    def feed(self, text: str) -> str:
        if self.program is not None:
            return ""
        self._text += text
        if len(self._text) >= 20:
            self.program = "x = globals().get('x', 0) + 1; print('turn', x)"
        return text


async def test_rounds_go_on_where_the_output_ended_and_a_seed_fixes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "ProgramWatch", Eager)
    engine = open_engine(make_tiny_llama(tmp_path / "tiny"), None, Settings(slots=2))
    sandboxes = Sandboxes(1)
    await engine.start()
    try:
        await sandboxes.require()
        prompt = Prompt("tool", "", tuple(await engine.tokenizer.encode("What is 2 + 3?", control=False)))
        sampling = Sampling(max_new_tokens=200, temperature=1.0, seed=7)
        texts = []
        for _ in range(2):
            completion = Completion()
            async with aclosing(tools.solve(engine, sandboxes, prompt, sampling, 3, completion)) as pieces:
                texts.append("".join([piece async for piece in pieces]))
            assert completion.text == texts[-1]
            assert (completion.tool_rounds, completion.finish_reason) == (3, "tool_rounds")
        assert texts[0] == texts[1]
        assert [f"```output\nturn {turn}\n```\n" in texts[0] for turn in (1, 2, 3)] == [True] * 3
        assert engine.gate.running == 0
    finally:
        await sandboxes.close()
        await engine.close()
