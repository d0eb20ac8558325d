"""Each sign that an answer is not to be trusted shows where it should, and nowhere else."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.answers.extraction import Answer, boxed_answers
from deepseek_math.answers.judging import Verdict, judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.completion import Completion
from deepseek_math.doubts import DOUBTS, contradicts, doubts
from deepseek_math.errors import ServiceError
from deepseek_math.local import client
from deepseek_math.prediction import Prediction
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.service import Service
from tests.support.scripted_engine import ScriptedEngine, Step


@pytest.fixture(autouse=True)
async def no_workers_left() -> AsyncIterator[None]:
    yield
    await judge().close()


async def metrics_of(scripts: Sequence[Sequence[Step]], **inputs: Any) -> dict[str, Any]:
    """Of a prediction whose samples play the scripts, the first one that of seed 0."""
    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    service = Service(checkpoint, ScriptedEngine(lambda prompt, sampling: scripts[sampling.seed]), Sandboxes())
    metrics: dict[str, Any] = {}
    inputs = {"prompt": "2+3?", "seed": 0, **inputs}
    async with aclosing(service.complete(inputs, metrics.__setitem__)) as pieces:
        async for _ in pieces:
            pass
    return metrics


LOOP = ["\\boxed{5}", *[" So it is."] * 4]
SIGNS: list[tuple[str, Sequence[Step], dict[str, Any], list[str]]] = [
    ("a good answer", ["\\boxed{5}"], {}, []),
    ("no box where one is asked for", ["The answer is 5."], {}, ["no_box"]),
    ("a box that is open", ["\\boxed{5"], {}, ["no_box"]),
    ("none is asked for in a chat", ["Hello!"], {"mode": "chat"}, []),
    ("nor of a text that goes on", [" and so on"], {"mode": "raw"}, []),
    ("an answer in words is what fewshot asks for", [" The answer is 5."], {"mode": "fewshot"}, []),
    ("fewshot without one", [" It is five."], {"mode": "fewshot"}, ["no_answer"]),
    ("cut before the box", ["a"] * 9, {"max_new_tokens": 4}, ["no_box", "cut"]),
    ("a repetition", LOOP, {}, ["repeats"]),
    ("a repetition up to the limit", LOOP, {"max_new_tokens": 4}, ["cut", "repeats"]),
    ("two boxes that differ", ["\\boxed{5}. But then it would be less, so \\boxed{6}"], {}, ["contradicts"]),
    ("two boxes that mean the same", ["\\boxed{0.5}. That is one half, in other words \\boxed{\\frac12}"], {}, []),
    ("two boxes that are a list", ["So \\boxed{5} or \\boxed{6}"], {}, []),
]


@pytest.mark.parametrize(
    ("why", "script", "inputs", "signs"), SIGNS, ids=lambda value: value if type(value) is str else ""
)
async def test_a_sign_shows_where_it_is_and_nowhere_else(
    why: str, script: Sequence[Step], inputs: dict[str, Any], signs: list[str]
) -> None:
    metrics = await metrics_of([script], **inputs)
    assert metrics["doubts"] == signs, why
    assert ("repetition" in metrics) is ("repeats" in signs)


async def test_a_repetition_is_given_by_length_and_count() -> None:
    assert (await metrics_of([LOOP]))["repetition"] == {"length": 10, "count": 4}


@pytest.mark.parametrize(("answers", "signs"), [("5675", []), ("5678", ["minority"])])
async def test_a_vote_without_half_of_the_samples_is_doubted(answers: str, signs: list[str]) -> None:
    """Two of four are half of them."""
    metrics = await metrics_of([[f"\\boxed{{{answer}}}"] for answer in answers], samples=4)
    assert metrics["samples_used"] == 4
    assert metrics["doubts"] == signs


async def test_a_vote_shows_the_signs_of_its_chosen_text() -> None:
    metrics = await metrics_of([["a"], ["\\boxed{5}"], ["\\boxed{5}"]], samples=3)
    assert metrics["doubts"] == []


async def test_a_prediction_that_was_refused_has_no_signs() -> None:
    with pytest.raises(ServiceError):
        await metrics_of([["a"]], top_p=0)


def test_a_program_that_failed_is_a_sign() -> None:
    nothing = Answer("5", "boxed")
    failed, fine = Completion(tool_rounds=2, tool_errors=1), Completion(tool_rounds=2)
    assert doubts(Prediction(mode="tool", chosen=failed), nothing, None) == ["programs_failed"]
    assert doubts(Prediction(mode="tool", chosen=fine), nothing, None) == []


def test_the_terminal_says_the_signs_in_words_on_one_line() -> None:
    assert (
        client.in_words(["cut", "repeats", "of a later version"])
        == "cut at the limit; repeats itself; of a later version"
    )
    assert client.in_words([]) == ""


def test_every_sign_has_its_words() -> None:
    for name, doubt in DOUBTS.items():
        assert name.isidentifier()
        assert all((doubt.short, doubt.meaning.endswith("."), doubt.advice.endswith(".")))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", []),
        ("\\boxed{5}", ["5"]),
        ("\\boxed{5} and \\boxed{6}", ["5, 6"]),
        ("\\boxed{5}. Later on we find that it is \\boxed{6}", ["5", "6"]),
        ("\\boxed{x = \\boxed{5}}", ["x = \\boxed{5}"]),
        ("\\boxed{} then much later \\boxed{5}", ["5"]),
        ("```python\nprint('\\boxed{4}')\n```\n\\boxed{5}", ["5"]),
    ],
)
def test_boxes_are_read_in_order_and_lists_as_one(text: str, answers: list[str]) -> None:
    assert boxed_answers(text) == answers


async def test_a_comparison_that_fails_is_no_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(a: str, b: str) -> Verdict:
        return Verdict(False, reason="took over 2 s")

    monkeypatch.setattr(judge(), "compare", fails)
    assert not await contradicts("\\boxed{x+1}. Then it is \\boxed{1+x}")
