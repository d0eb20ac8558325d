"""Tool mode, played by a scripted engine with real sandboxes: exact transcripts, and every way that one can end."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.completion import Completion
from deepseek_math.errors import ServiceError
from deepseek_math.programs.loop import ProgramWatch
from deepseek_math.programs.output import shown
from deepseek_math.programs.published_loop import ROUND_TOKENS, published_program, solve_as_published
from deepseek_math.programs.sandbox.limits import Limits
from deepseek_math.programs.sandbox.outcome import Outcome
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.prompts import TOOL_SUFFIX, Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.service import Service
from tests.support.scripted_engine import CharacterTokenizer, ScriptedEngine, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASSISTANT = "\n\nAssistant:"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sandboxes() -> AsyncIterator[Sandboxes]:
    running = Sandboxes(2, Limits(wall_seconds=5.0))
    await running.require()
    yield running
    await running.close()
    await judge().close()


def service(
    sandboxes: Sandboxes, rounds: Sequence[Sequence[Step]], style: PromptStyle | None = None, **engine: Any
) -> Service:
    """The engine plays as many rounds as there are: the next one is told by the outputs in its prompt."""

    def script(prompt: Sequence[int], sampling: Sampling) -> Sequence[Step]:
        return rounds["".join(map(chr, prompt)).count("\n```output\n")]

    checkpoint = Checkpoint(
        "scripted", Local(Path()), "none", style=style or PromptStyle(chat_template=DEEPSEEK_TEMPLATE)
    )
    return Service(checkpoint, ScriptedEngine(script, **engine), sandboxes)


async def run(
    service: Service, metrics: dict[str, Any] | None = None, **inputs: Any
) -> tuple[list[str], dict[str, Any]]:
    """The pieces of text as they were streamed, and the metrics, which `metrics` gets after a fault, too."""
    metrics = {} if metrics is None else metrics
    inputs = {"prompt": "2+3?", "mode": "tool", "seed": 0, **inputs}
    async with aclosing(service.complete(inputs, metrics.__setitem__)) as pieces:
        return [piece async for piece in pieces], metrics


@dataclass(frozen=True)
class Transcript:
    """What the model writes round by round, and what the client gets."""

    rounds: tuple[str, ...]
    text: str
    finish: str = "stop"
    programs: int = 0
    errors: int = 0
    inputs: dict[str, Any] = field(default_factory=dict)


LONG = "".join(f"{number:04}" for number in range(60))
TRANSCRIPTS = {
    "no program": Transcript((" It is \\boxed{5}.",), " It is \\boxed{5}."),
    "one program": Transcript(
        (" Let me.\n```python\nprint(2 + 3)\n```\n```output\n9", "It is \\boxed{5}."),
        " Let me.\n```python\nprint(2 + 3)\n```\n```output\n5\n```\nIt is \\boxed{5}.",
        programs=1,
    ),
    "what the model writes after a block is not read": Transcript(
        ("```python\nprint(1)\n``` and so on ```python\nprint(2)\n```", "."),
        "```python\nprint(1)\n```\n```output\n1\n```\n.",
        programs=1,
    ),
    "variables live on": Transcript(
        ("```python\nx = 2\nprint(x)\n```", "So\n```python\nprint(x + 3)\n```", "5"),
        "```python\nx = 2\nprint(x)\n```\n```output\n2\n```\nSo\n```python\nprint(x + 3)\n```\n```output\n5\n```\n5",
        programs=2,
    ),
    "an earlier block is not run again": Transcript(
        ("```python\nn = 1\nprint('once')\n```", "```python\nn += 1\nprint(n)\n```", ""),
        "```python\nn = 1\nprint('once')\n```\n```output\nonce\n```\n"
        "```python\nn += 1\nprint(n)\n```\n```output\n2\n```\n",
        programs=2,
    ),
    "an error": Transcript(
        ("```python\nprint(1)\n1 / 0\n```", "Oh."),
        "```python\nprint(1)\n1 / 0\n```\n```output\nRuntime errors: ZeroDivisionError: division by zero\n```\nOh.",
        programs=1,
        errors=1,
    ),
    "a program that prints nothing": Transcript(
        ("```python\nx = 1\n```", "Oh."), "```python\nx = 1\n```\n```output\nRuntime errors:\n```\nOh.", programs=1
    ),
    "a long output": Transcript(
        (f"```python\nprint('{LONG}')\n```", ""),
        f"```python\nprint('{LONG}')\n```\n```output\n{LONG[:50]}...{LONG[-50:]}\n```\n",
        programs=1,
    ),
    "an output of just so many characters": Transcript(
        ("```python\nprint('x' * 100)\n```", ""),
        f"```python\nprint('x' * 100)\n```\n```output\n{'x' * 100}\n```\n",
        programs=1,
    ),
    "blanks around an output": Transcript(
        ("```python\nprint('\\n 1 2 \\n')\n```", ""),
        "```python\nprint('\\n 1 2 \\n')\n```\n```output\n1 2\n```\n",
        programs=1,
    ),
    "a program that is ended": Transcript(
        ("```python\nimport os\nos._exit(1)\n```", "Oh."),
        "```python\nimport os\nos._exit(1)\n```\n```output\n"
        "Runtime errors: The program was ended: it ended its own process. Its variables are gone.\n```\nOh.",
        programs=1,
        errors=1,
    ),
    "after one that was ended the variables are gone": Transcript(
        ("```python\nx = 1\nimport os; os.abort()\n```", "```python\nprint(x)\n```", "."),
        "```python\nx = 1\nimport os; os.abort()\n```\n```output\n"
        "Runtime errors: The program was ended: SIGABRT ended it (signal). Its variables are gone.\n```\n"
        "```python\nprint(x)\n```\n```output\nRuntime errors: NameError: name 'x' is not defined\n```\n.",
        programs=2,
        errors=2,
    ),
    "an output that the model makes up": Transcript(
        (" I see\n```output\n5\n```",), " I see\n", finish="stop_string"
    ),
    "a block that is never closed": Transcript(("```python\nprint(1)\n",), "```python\nprint(1)\n"),
    "a block of another language": Transcript(("```latex\nx\n```\n5",), "```latex\nx\n```\n5"),
    "a block that is indented as a whole": Transcript(
        ("1. So\n   ```python\n   if True:\n       print(1)\n   ```", "."),
        "1. So\n   ```python\n   if True:\n       print(1)\n   ```\n```output\n1\n```\n.",
        programs=1,
    ),
    "a block whose first line alone is indented": Transcript(
        ("```python\n  print(1)\nprint(2)\n```", "."),
        "```python\n  print(1)\nprint(2)\n```\n```output\n"
        'Runtime errors: File "<string>", line 1\n    print(1)\nIndentationError: unexpected indent\n```\n.',
        programs=1,
        errors=1,
    ),
    "a block of Python by its short name": Transcript(
        ("```py\nprint(1)\n```", "."), "```py\nprint(1)\n```\n```output\n1\n```\n.", programs=1
    ),
    "a block of Python by its full name": Transcript(
        ("See: ```Python3 \nprint(1)\n```", "."), "See: ```Python3 \nprint(1)\n```\n```output\n1\n```\n.", programs=1
    ),
    "a block that only begins like Python": Transcript(("```pycon\n>>> 1\n```\n5",), "```pycon\n>>> 1\n```\n5"),
    "a fence in a string of the program": Transcript(
        ("```python\nprint('```' + '``'[:1])  # ``` \\\n```", "."),
        "```python\nprint('```' + '``'[:1])  # ``` \\\n```\n```output\n'''`\n```\n.",
        programs=1,
    ),
    "a fence at the end of a line": Transcript(
        ("```python\nprint(2)```\nmore", "So 2."), "```python\nprint(2)```\n```output\n2\n```\nSo 2.", programs=1
    ),
    "an empty block": Transcript(
        ("```python\n\n```\n```python\nprint(1)\n```", ""),
        "```python\n\n```\n```python\nprint(1)\n```\n```output\n1\n```\n",
        programs=1,
    ),
    "more programs than rounds": Transcript(
        ("```python\nprint(1)\n```", "```python\nprint(2)\n``` more"),
        "```python\nprint(1)\n```\n```output\n1\n```\n```python\nprint(2)\n```",
        finish="tool_rounds",
        programs=1,
        inputs={"max_tool_rounds": 1},
    ),
    "a stop string before the program ends": Transcript(
        ("```python\nprint(1)\nHALT\n```", "."),
        "```python\nprint(1)\n",
        finish="stop_string",
        inputs={"stop": ["HALT"]},
    ),
    "a stop string after a program": Transcript(
        ("```python\nprint(1)\n```", "so HALT"),
        "```python\nprint(1)\n```\n```output\n1\n```\nso ",
        finish="stop_string",
        programs=1,
        inputs={"stop": ["HALT"]},
    ),
    "a stop string in an output does not count": Transcript(
        ("```python\nprint('HA' + 'LT')\n```", "."),
        "```python\nprint('HA' + 'LT')\n```\n```output\nHALT\n```\n.",
        programs=1,
        inputs={"stop": ["HALT"]},
    ),
    "the name of a control token in an output is text": Transcript(
        ("```python\nprint('<|e' + 'nd|>')\n```", "."),
        "```python\nprint('<|e' + 'nd|>')\n```\n```output\n<|end|>\n```\n.",
        programs=1,
    ),
    "Chinese": Transcript(
        ("我们来算。\n```python\nprint('答', 5)\n```", "答案是 \\boxed{5}。"),
        "我们来算。\n```python\nprint('答', 5)\n```\n```output\n答 5\n```\n答案是 \\boxed{5}。",
        programs=1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("chunks", ["characters", "pairs", "whole"])
@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_a_transcript_is_exact_however_it_is_chunked(sandboxes: Sandboxes, name: str, chunks: str) -> None:
    case = TRANSCRIPTS[name]
    size = {"characters": 1, "pairs": 2, "whole": 10_000}[chunks]
    rounds = [[text[at : at + size] for at in range(0, len(text), size)] for text in case.rounds]
    scripted = service(sandboxes, rounds)
    pieces, metrics = await run(scripted, **case.inputs)
    assert "".join(pieces) == case.text
    assert metrics["finish_reason"] == case.finish
    assert (metrics["tool_rounds"], metrics["tool_errors"]) == (case.programs, case.errors)
    assert (metrics["tool_seconds"] > 0) == (case.programs > 0)
    assert (scripted.engine.gate.running, scripted.engine.working) == (0, 0)  # type: ignore[attr-defined]


async def test_every_round_reads_all_that_came_before_as_text(sandboxes: Sandboxes) -> None:
    prompts: list[str] = []
    seeds: list[int] = []
    rounds = [["```python\nprint('<|e' + 'nd|>')\n```"], ["Hm.\n```python\nprint(2)\n```"], ["."]]

    def script(prompt: Sequence[int], sampling: Sampling) -> Sequence[Step]:
        assert prompt[0] == 2
        prompts.append("".join(map(chr, prompt[1:])))
        seeds.append(sampling.seed)
        return rounds[len(prompts) - 1]

    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    pieces, metrics = await run(Service(checkpoint, ScriptedEngine(script), sandboxes), seed=5)
    first = f"User: 2+3?{TOOL_SUFFIX['en']}{ASSISTANT}"
    second = first + "```python\nprint('<|e' + 'nd|>')\n```\n```output\n<|end|>\n```\n"
    assert prompts == [first, second, second + "Hm.\n```python\nprint(2)\n```\n```output\n2\n```\n"]
    assert first + "".join(pieces) == prompts[2] + "."
    assert metrics["prompt_tokens"] == len(first) + 1
    assert seeds[0] == 5  # a completion without a program is the one that this seed always gave
    assert len(set(seeds)) == 3


@pytest.mark.parametrize("last", [("b", 0.2, "c"), ()])
async def test_the_time_of_programs_does_not_count_in_the_rate_of_tokens(
    sandboxes: Sandboxes, last: tuple[Step, ...]
) -> None:
    """Also where no token follows the program. The model takes 0.2 s for each, the program a second."""
    rounds: list[Sequence[Step]] = [["a", 0.2, "```python\nimport time; time.sleep(1)\n", 0.2, "```"], last]
    _, metrics = await run(service(sandboxes, rounds))
    tokens = metrics["completion_tokens"]
    assert tokens == 3 + len(last[::2])
    assert metrics["tool_seconds"] > 1
    assert (tokens - 1) / metrics["tokens_per_second"] < 1  # seconds


async def test_text_and_outputs_are_streamed_in_order_as_they_come(sandboxes: Sandboxes) -> None:
    rounds = [["a", "b", "```python\nprint(1)\n", "```"], ["c", "d"]]
    pieces, _ = await run(service(sandboxes, rounds))
    assert pieces == ["a", "b", "```python\nprint(1)\n", "```", "\n```output\n1\n```\n", "c", "d"]


@pytest.mark.parametrize("most", [1, 18, 19, 20, 21, 22, 23])
async def test_max_new_tokens_bounds_the_model_s_tokens_over_all_rounds(sandboxes: Sandboxes, most: int) -> None:
    program = "```python\nprint(11111)\n```"  # 25 characters, a token each of 1, then as one
    rounds = [[*"1234567890123456", program], [*"abcdefgh"]]
    pieces, metrics = await run(service(sandboxes, rounds), max_new_tokens=most)
    text = "".join(pieces)
    assert metrics["completion_tokens"] == min(most, 25)
    assert metrics["finish_reason"] == "length"
    assert text.endswith("abcdefgh"[: most - 17] if most > 17 else "1")
    assert metrics["tool_rounds"] == (1 if most > 17 else 0)


async def test_no_program_runs_when_no_token_is_left_to_read_its_output(sandboxes: Sandboxes) -> None:
    _, metrics = await run(service(sandboxes, [["```python\nprint(1)\n```"], ["a"]]), max_new_tokens=1)
    assert (metrics["finish_reason"], metrics["tool_rounds"]) == ("length", 0)


async def test_the_context_ends_a_completion_that_its_outputs_have_filled(sandboxes: Sandboxes) -> None:
    rounds = [["```python\nprint('x' * 99)\n```"], [*"abcdefghij"]]
    prompt = len(f"User: 2+3?{TOOL_SUFFIX['en']}{ASSISTANT}") + 1
    text = len("```python\nprint('x' * 99)\n```\n```output\n\n```\n") + 99
    pieces, metrics = await run(service(sandboxes, rounds, context=prompt + text + 3), max_new_tokens=20)
    assert "".join(pieces).endswith("\n```\nabc")
    assert metrics["finish_reason"] == "length"
    pieces, metrics = await run(service(sandboxes, rounds, context=prompt + text - 3), max_new_tokens=20)
    assert "".join(pieces).endswith("\n```\n")
    assert metrics["finish_reason"] == "length"


async def test_a_cancel_in_the_middle_of_a_program_ends_it_and_frees_the_engine(sandboxes: Sandboxes) -> None:
    scripted = service(sandboxes, [["```python\nwhile True: pass\n```"], ["."]], slots=1)
    running = asyncio.create_task(run(scripted))
    async with asyncio.timeout(20):
        while not (found := [each.process for each in sandboxes._open if each.process]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    pid = await found[0].pid
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (sandboxes.gate.running, scripted.engine.gate.running) == (0, 0)
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid) or found[0].folder.parent.exists():  # noqa: ASYNC110  # they have no event
            await asyncio.sleep(0.01)
    pieces, _ = await run(service(sandboxes, [["```python\nprint(1)\n```"], ["."]]))
    assert "".join(pieces).endswith("\n1\n```\n.")


async def test_an_engine_that_falls_silent_in_a_later_round_is_noticed(
    sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_math.programs.loop.solve.__kwdefaults__", {"owner": None, "stall_seconds": 0.3})
    scripted = service(sandboxes, [["```python\nprint(1)\n```"], ["a", 60.0, "b"]])
    with pytest.raises(ServiceError, match="engine_stalled"):
        await run(scripted)
    assert scripted.engine.gate.running == 0


async def test_a_fault_of_the_engine_in_a_later_round_ends_the_process(sandboxes: Sandboxes) -> None:
    scripted = service(sandboxes, [["```python\nprint(1)\n```"], ["a", ServiceError("engine_failed", "It broke.")]])
    with pytest.raises(ServiceError, match="engine_failed"):
        await run(scripted)
    assert (sandboxes.gate.running, scripted.engine.gate.running) == (0, 0)


def voting(sandboxes: Sandboxes, failing: set[int]) -> Service:
    """Samples answer 5 after a program; those with a seed in `failing` meet a fault of the engine after theirs."""

    def script(prompt: Sequence[int], sampling: Sampling) -> Sequence[Step]:
        if "\n```output\n" not in "".join(map(chr, prompt)):
            return [f"```python\nprint({sampling.seed})\n```"]
        seed = int("".join(map(chr, prompt)).rpartition("```output\n")[2].partition("\n")[0])
        if seed in failing:
            return ["a", ServiceError("engine_failed", "It broke.")]
        return ["\\boxed{5}"]

    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    return Service(checkpoint, ScriptedEngine(script, slots=4), sandboxes)


async def test_a_fault_in_one_sample_of_a_vote_is_an_abstention_and_is_counted(sandboxes: Sandboxes) -> None:
    pieces, metrics = await run(voting(sandboxes, {0, 1}), samples=4, seed=0)
    assert "".join(pieces).endswith("\\boxed{5}")
    assert (metrics["samples_failed"], metrics["samples_without_answer"]) == (2, 2)
    assert metrics["votes"] == [{"answer": "5", "count": metrics["samples_used"] - 2}]
    assert metrics["answer"] == "5"
    assert "error_code" not in metrics
    _, metrics = await run(voting(sandboxes, set()), samples=4, seed=0)
    assert metrics["samples_failed"] == 0


@pytest.mark.parametrize("failing", [{0, 1, 2}, {0, 1}])
async def test_a_vote_of_which_most_samples_fail_is_the_fault_itself(sandboxes: Sandboxes, failing: set[int]) -> None:
    metrics: dict[str, Any] = {}
    with pytest.raises(ServiceError, match="engine_failed: It broke"):
        await run(voting(sandboxes, failing), metrics, samples=3, seed=0)
    assert metrics["error_code"] == "engine_failed"


async def test_the_samples_of_a_vote_run_their_programs_each_in_its_own_sandbox(sandboxes: Sandboxes) -> None:
    """Each sets its own x, and prints it a round later; none sees another's."""

    def script(prompt: Sequence[int], sampling: Sampling) -> Sequence[Step]:
        text = "".join(map(chr, prompt))
        outputs = text.count("\n```output\n")
        if outputs == 0:
            return [f"```python\ntry: x\nexcept NameError: x = 'own'; s = {sampling.seed}\nprint(s)\n```"]
        if outputs == 1:
            return ["```python\nprint(x, s)\n```"]
        return [f"\\boxed{{{text.rpartition('own ')[2].partition(chr(10))[0]}}}" if "own" in text else "none"]

    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    scripted = Service(checkpoint, ScriptedEngine(script, slots=4), sandboxes)
    _, metrics = await run(scripted, samples=6, seed=3)
    votes = {vote["answer"]: vote["count"] for vote in metrics["votes"]}
    assert set(votes) <= {"3", "4", "5", "6", "7", "8"}
    assert set(votes.values()) == {1}
    assert len(votes) == metrics["samples_used"]
    assert metrics["tool_rounds"] >= 2 * metrics["samples_used"]
    assert (sandboxes.gate.running, scripted.engine.gate.running) == (0, 0)


REFUSED: list[tuple[dict[str, Any], PromptStyle, str]] = [
    ({}, PromptStyle(base=True, chat_template=DEEPSEEK_TEMPLATE), "base_has_no_tools"),
    ({}, PromptStyle(), "no_chat_template"),
    ({"max_tool_rounds": 0}, PromptStyle(chat_template=DEEPSEEK_TEMPLATE), "max_tool_rounds_out_of_range"),
    ({"max_tool_rounds": 9}, PromptStyle(chat_template=DEEPSEEK_TEMPLATE), "max_tool_rounds_out_of_range"),
    ({"max_tool_rounds": 1.5}, PromptStyle(chat_template=DEEPSEEK_TEMPLATE), "max_tool_rounds_out_of_range"),
    ({"tool_loop": "ours"}, PromptStyle(chat_template=DEEPSEEK_TEMPLATE), "tool_loop_unknown"),
    ({"tool_loop": "published", "mode": "cot"}, PromptStyle(chat_template=DEEPSEEK_TEMPLATE), "tool_loop_without_tool"),
    ({"tool_loop": "published", "mode": "auto"}, PromptStyle(), "tool_loop_without_tool"),
    ({"max_new_tokens": 4096}, PromptStyle(chat_template=DEEPSEEK_TEMPLATE), "context_exceeded"),
]


@pytest.mark.parametrize(("inputs", "style", "code"), REFUSED)
async def test_what_cannot_be_honoured_is_refused_at_once(
    sandboxes: Sandboxes, inputs: dict[str, Any], style: PromptStyle, code: str
) -> None:
    scripted = service(sandboxes, [["never read"]], style)
    metrics: dict[str, Any] = {}
    with pytest.raises(ServiceError, match=code):
        await run(scripted, metrics, **inputs)
    assert metrics["error_code"] == code
    assert scripted.engine.released == 0  # type: ignore[attr-defined]


async def test_without_isolation_the_mode_is_refused_and_the_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    scripted = service(Sandboxes(1), [["5"]])
    with pytest.raises(ServiceError, match="sandbox_unavailable"):
        await run(scripted)
    pieces, metrics = await run(scripted, mode="cot")
    assert pieces == ["5"]
    assert "tool_rounds" not in metrics


SUFFIXES = {
    "What is 2+3?": "en",
    "What is 2+3? Use \\boxed.": "en",  # the suffix asks for programs, too
    "计算二加三。": "zh",
}


@pytest.mark.parametrize("question", SUFFIXES)
async def test_the_published_suffix_follows_the_question_once(sandboxes: Sandboxes, question: str) -> None:
    suffix = TOOL_SUFFIX[SUFFIXES[question]]  # type: ignore[index]
    for asked in (question, question + suffix):
        prompts: list[str] = []

        def script(prompt: Sequence[int], sampling: Sampling, prompts: list[str] = prompts) -> Sequence[Step]:
            prompts.append("".join(map(chr, prompt[1:])))
            return ["."]

        checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
        await run(Service(checkpoint, ScriptedEngine(script), sandboxes), prompt=asked)
        assert prompts == [f"User: {question}{suffix}{ASSISTANT}"]


async def test_the_suffixes_are_the_published_ones() -> None:
    """evaluation/README.md of deepseek-ai/DeepSeek-Math, at b8b0f8c."""
    assert TOOL_SUFFIX["en"] == (
        "\nPlease integrate natural language reasoning with programs to solve the problem above, and put your final "
        "answer within \\boxed{}."
    )
    assert TOOL_SUFFIX["zh"] == "\n请结合自然语言和Python程序语言来解答问题，并把最终答案放置于\\boxed{}中。"


class WordTokenizer(CharacterTokenizer):
    """One token a word with the blanks before it."""

    async def encode(self, text: str, *, control: bool) -> list[int]:
        return [1 for _ in re.findall(r"\s*\S+|\s+$", text)]


async def test_an_output_is_cut_by_characters_and_an_error_by_tokens() -> None:
    """50 of them at each end, as published, each joined in its own way."""
    words = [f"w{number}" for number in range(150)]
    long, tokenizer = " ".join(words), WordTokenizer()
    assert await shown(Outcome(long, None, 0.1), tokenizer) == f"{long[:50]}...{long[-50:]}"
    cut = f"{' '.join(words[:50])} ... {' '.join(words[-50:])}"
    assert await shown(Outcome("lost", long, 0.1), tokenizer) == f"Runtime errors: {cut}"
    short = " ".join(words[:100])
    assert await shown(Outcome("lost", short, 0.1), tokenizer) == f"Runtime errors: {short}"


async def test_an_error_of_many_characters_is_cut_whatever_its_tokens_are() -> None:
    told = await shown(Outcome("", "x" * 20_000, 0.1), CharacterTokenizer())
    assert told == f"Runtime errors: {'x' * 50} ... {'x' * 50}"


async def as_published(sandboxes: Sandboxes, *rounds: str, **sampling: Any) -> tuple[str, Completion, list[int]]:
    """The text, and how many tokens each generation was allowed."""
    allowed: list[int] = []

    def script(prompt: Sequence[int], asked: Sampling) -> Sequence[Step]:
        allowed.append(asked.max_new_tokens)
        return list(rounds[len(allowed) - 1])

    completion = Completion()
    engine = ScriptedEngine(script)
    sampling = {"max_new_tokens": 2048} | sampling
    prompt = Prompt("tool", "?", (63,))
    stream = solve_as_published(engine, sandboxes, prompt, Sampling(**sampling), 2, completion)
    async with aclosing(stream) as pieces:
        text = "".join([piece async for piece in pieces])
    assert text == completion.text
    assert engine.working == 0
    return text, completion, allowed


FIRST = "Let.\n```python\nx = 2\nprint(x)\n```\n```output\n9"
SECOND = "So\n```python\nprint(x + 3)\n```\n```output\n"
AFTER_FIRST = "Let.\n```python\nx = 2\nprint(x)\n```\n```output\n2\n```\n"


async def test_the_published_loop_ends_with_the_second_output(sandboxes: Sandboxes) -> None:
    text, completion, allowed = await as_published(sandboxes, FIRST, SECOND)
    assert text == f"{AFTER_FIRST}So\n```python\nprint(x + 3)\n```\n```output\n5\n```\n"
    assert (completion.finish_reason, completion.tool_rounds) == ("tool_rounds", 2)
    assert allowed == [ROUND_TOKENS, ROUND_TOKENS]


async def test_a_request_says_which_loop_it_wants(sandboxes: Sandboxes) -> None:
    rounds = (FIRST, SECOND, "It is \\boxed{5}.")
    pieces, metrics = await run(service(sandboxes, rounds), tool_loop="published", max_tool_rounds=2)
    text, _, _ = await as_published(sandboxes, FIRST, SECOND)
    assert ("".join(pieces), metrics["finish_reason"], metrics["tool_rounds"]) == (text, "tool_rounds", 2)
    pieces, metrics = await run(service(sandboxes, rounds), max_tool_rounds=2)
    assert ("".join(pieces), metrics["finish_reason"]) == (f"{text}It is \\boxed{{5}}.", "stop")


async def test_the_published_loop_ends_where_the_model_does(sandboxes: Sandboxes) -> None:
    text, completion, allowed = await as_published(sandboxes, FIRST, "It is \\boxed{2}.")
    assert text == f"{AFTER_FIRST}It is \\boxed{{2}}."
    assert (completion.finish_reason, completion.tool_rounds, len(allowed)) == ("stop", 1, 2)
    text, completion, allowed = await as_published(sandboxes, "```python\nprint(1)\n```\nIt is 1.")
    assert (text, completion.finish_reason, completion.tool_rounds) == ("```python\nprint(1)\n```\nIt is 1.", "stop", 0)


async def test_a_round_of_the_published_loop_that_used_its_tokens_is_followed_by_the_next(sandboxes: Sandboxes) -> None:
    first = "a" * (ROUND_TOKENS - 30) + "\n```python\nprint(7)\n" + "#" * 50
    text, completion, allowed = await as_published(sandboxes, first, "\n```\n```output\n")
    assert text.endswith("#\n```\n```output\n7\n```\n")
    assert (completion.finish_reason, completion.tool_rounds) == ("tool_rounds", 1)
    text, completion, allowed = await as_published(sandboxes, "a" * 2000, "b" * 2000)
    assert text == "a" * ROUND_TOKENS + "b" * ROUND_TOKENS
    assert completion.finish_reason == "length"
    text, completion, allowed = await as_published(sandboxes, "a" * 2000, "b" * 2000, max_new_tokens=1500)
    assert (len(text), allowed) == (1500, [ROUND_TOKENS, 1500 - ROUND_TOKENS])


async def test_the_published_loop_runs_all_blocks_anew(sandboxes: Sandboxes) -> None:
    """So an error in the first one comes again."""
    failing = "```python\nx = 1 / 0\n```\n```output\n"
    text, completion, _ = await as_published(sandboxes, failing, "```python\nprint(5)\n```\n```output\n")
    assert text.count("ZeroDivisionError: division by zero") == 2
    assert completion.tool_errors == 2


async def test_processor_time_is_of_all_rounds_of_the_published_loop() -> None:
    """Though each has a process of its own."""
    first = "```python\nimport time\nwhile time.process_time() < 1.2: pass\nprint(1)\n```\n```output\n"
    pool = Sandboxes(1, Limits(cpu_seconds=2, wall_seconds=300.0))
    try:
        text, completion, _ = await as_published(pool, first, "```python\nprint(2)\n```\n```output\n")
    finally:
        await pool.close()
    assert "```output\n1\n```\n" in text
    assert text.count("used more than 2 s of processor time") == 1
    assert (completion.tool_rounds, completion.tool_errors) == (2, 1)


async def test_what_the_published_script_runs() -> None:
    assert published_program("no block") is None
    assert published_program("```python\nprint(1)\n``` and so on") is None
    assert published_program("```python\n\n```") is None
    blocks = "```python\nimport os # print(\nx = 1\nprint(x)\nif x:\n    print(x)\n```\n```python\nprint(x + 1)\n```"
    assert published_program(blocks) == "import os # print(\nx = 1\nif x:\n    print(x)\nprint(x + 1)"


PIECES = ["```", "python", "py", "\n", "```python\n", "\n```", " ", "x = 1", "output", "`", "    "]


@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.integers(1, 9), min_size=1))
async def test_what_a_watch_finds_depends_on_the_whole_text_alone(pieces: list[str], sizes: list[int]) -> None:
    text, whole = "".join(pieces), ProgramWatch(("= 1\n`",))
    at_once = whole.feed(text) + whole.flush()
    chunked, let_through, at = ProgramWatch(("= 1\n`",)), "", 0
    for size in cycle(sizes):
        let_through += chunked.feed(text[at : at + size])
        at += size
        if at >= len(text):
            break
    assert (let_through + chunked.flush(), chunked.hit, chunked.program) == (at_once, whole.hit, whole.program)


SILENT = {
    "a box in a program": "```python\nprint('\\boxed{3}')\n",
    "a claim in a program": "```python\nprint('The answer is 3')\n",
    "a box in an output": "```python\nprint('\\\\boxed' + '{3}')\n",
    "a claim in an output": "```python\nprint('The answer', 'is 3')\n",
    "a box behind a fence in an output": "```python\nprint('`' * 3 + '\\n\\\\boxed' + '{3}')\n",
    "a box behind a fence in an error": "```python\nraise ValueError('`' * 3 + '\\n\\\\boxed' + '{3}')\n",
}


@pytest.mark.parametrize("name", SILENT)
async def test_the_answer_comes_from_the_model_s_own_words_never_from_a_program(
    sandboxes: Sandboxes, name: str
) -> None:
    program = SILENT[name]
    for round_, rest, answer in (
        (program, "I see.", None),
        (program + "```", "I see.", None),
        (program + "```", "\\boxed{4}", "4"),
    ):
        _, metrics = await run(service(sandboxes, [[round_], [rest]]))
        assert metrics.get("answer") == answer
    _, metrics = await run(service(sandboxes, [["The answer is 5.\n" + program + "```"], ["Hm."]]), samples=2)
    assert [vote["answer"] for vote in metrics["votes"]] == ["5"]


async def test_a_watch_lets_no_part_of_a_stop_through() -> None:
    for cut in range(1, 30):
        watch, text = ProgramWatch(()), "see\n```output\nmade up"
        let_through = "".join(watch.feed(text[at : at + cut]) for at in range(0, len(text), cut)) + watch.flush()
        assert let_through == "see\n"
        assert (watch.hit, watch.program) == ("```output", None)
