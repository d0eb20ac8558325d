"""The variants of the engine's settings: each one changes what it says, and is measured beside what is in use."""

from enum import Enum
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from deepseek_math.bench import variants
from deepseek_math.bench.variants import IN_USE, VARIANTS, Variant, Varied, compare
from deepseek_math.bench.workload import prompt
from deepseek_math.checkpoints import CHECKPOINTS, fetch
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.sampling import Sampling

TINY_RL = fetch(CHECKPOINTS["tiny-rl"])


def dump(value: Any) -> Any:
    """All that llama.cpp is told, nested as it is."""
    if isinstance(value, list):
        return [dump(each) for each in value]
    if not type(value).__module__.startswith("xllamacpp") or isinstance(value, Enum):
        return str(value)
    public = {name: getattr(value, name) for name in dir(value) if not name.startswith("_")}
    return {name: dump(each) for name, each in public.items() if not callable(each)}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_changes_what_llama_cpp_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_math.container.cores", lambda: 2)
    folder = TemporaryDirectory()

    def told(variant: Variant, exact: bool) -> Any:
        engine = Varied(variant, TINY_RL, exact=exact)
        engine._folder = folder
        return dump(engine._params("socket")), engine._body(0, [1], Sampling())

    same = [told(VARIANTS[IN_USE], exact) == told(VARIANTS[name], exact) for exact in (True, False)]
    folder.cleanup()
    assert all(same) == name.startswith(IN_USE)  # some are in use already for one of both kinds of weights


async def test_variants_are_measured_beside_what_is_in_use() -> None:
    found = await compare([IN_USE, "no KV reuse across turns"], TINY_RL, 1, 8)
    figures = found["no KV reuse across turns"]
    assert all(figures[name] > 0 and figures[name] != 1 for name in ("one", "many", "turn"))
    assert figures["same"] == 1


@pytest.mark.parametrize(("rounds", "tokens"), [(1, 0), (1, variants.MOST_TOKENS + 1), (0, 8)])
def test_what_measures_nothing_or_finds_no_room_is_refused(
    rounds: int, tokens: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        variants.main([f"--rounds={rounds}", f"--tokens={tokens}"])
    assert f"--rounds {rounds} --tokens {tokens}" in capsys.readouterr().err


async def test_the_longest_completions_have_room_for_a_second_turn() -> None:
    """With a small vocabulary, in which prompts are longer than in SmolLM2's."""
    engine = LlamaCppEngine(TINY_RL, variants.CONTEXT, 1)
    await engine.start()
    try:
        prompts = [prompt(0, place) for place in range(variants.STREAMS + variants.TURNS + 1)]
        turns = [each + variants.SECOND_QUESTION for each in prompts]
        longest = max([len(await engine.tokenizer.encode(turn, control=False)) for turn in turns])
    finally:
        await engine.close()
    assert longest + variants.MOST_TOKENS + 2 <= variants.CONTEXT
