"""Mode fewshot: the published form to the letter, right examples, and an end where the next question would begin."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from operator import add, mul, sub, truediv
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.errors import ServiceError
from deepseek_math.few_shot import EXAMPLES, Example
from deepseek_math.language import language
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.prompts import build
from deepseek_math.request import Request
from deepseek_math.service import Service
from tests.support.scripted_engine import CharacterTokenizer, ScriptedEngine

BASE = PromptStyle(base=True, chat_template=DEEPSEEK_TEMPLATE)
OPERATIONS: Mapping[str, Callable[[float, float], float]] = {"+": add, "-": sub, "*": mul, "/": truediv}
OURS = [pytest.param(spoken, each, id=each.question[:30]) for spoken in EXAMPLES for each in EXAMPLES[spoken]]
SAID = {"question": "What is 1 + 1?", "solution": "1 + 1 = 2. The answer is 2."}
BOXED = {"question": "What is 2 + 2?", "solution": "2 + 2 = $\\boxed{4}$."}
TURNS = [{"role": "user", "content": "What is 2 + 3?"}, {"role": "assistant", "content": "It is 5."}]
Open = Callable[[list[str]], Service]


async def text_of(**inputs: Any) -> str:
    return (await build(Request.checked(mode="fewshot", **inputs), BASE, CharacterTokenizer())).text


@pytest.mark.parametrize(("spoken", "example"), OURS)
def test_every_equation_of_our_examples_holds_and_the_last_one_is_the_answer(spoken: str, example: Example) -> None:
    written = example.solution.translate({ord(" "): None, ord("×"): "*", ord("÷"): "/"})
    equations = re.findall(r"(?<![\d*/])(\d+)([-+*/])(\d+)(?:([-+*/])(\d+))?=(\d+)", written)
    assert equations
    for first, sign, second, then, third, result in equations:
        value = OPERATIONS[sign](int(first), int(second))
        if then:
            value = OPERATIONS[then](value, int(third))
        assert value == int(result)
    assert equations[-1][-1] == example.answer
    assert language(example.question) == spoken


@pytest.mark.parametrize(
    ("prompt", "beginning", "end"),
    [
        (
            " What is 5 + 6?\n",
            "<|bos|>Q: A baker puts 12 rolls on each tray and fills 4 trays. She sells 15 rolls. How many rolls are "
            "left?\nA: The baker has 4 * 12 = 48 rolls. She sells 15 of them, so 48 - 15 = 33 rolls are left. "
            "The answer is 33.\n\n\nQ: A coat",
            " The answer is 108.\n\n\nQ: What is 5 + 6?\nA:",
        ),
        (
            "五加六等于几？",
            "<|bos|>问题：果园里有5排苹果树，每排14棵。后来砍掉了8棵，还剩多少棵？\n"
            "答案：果园原有5×14=70棵苹果树。砍掉8棵后，还剩70-8=62棵。所以答案是：62。\n\n\n问题：一本书",
            "所以答案是：3。\n\n\n问题：五加六等于几？\n答案：",
        ),
    ],
)
async def test_four_examples_in_the_question_s_language_stand_before_it(prompt: str, beginning: str, end: str) -> None:
    text = await text_of(prompt=prompt)
    assert text.startswith(beginning)
    assert text.endswith(end)
    assert len(re.findall(r"Q: |问题：", text)) == 5


async def test_own_examples_take_their_place_and_each_says_its_answer_once() -> None:
    text = await text_of(prompt="What is 3 + 3?", examples=[SAID, BOXED])
    assert text == (
        "<|bos|>Q: What is 1 + 1?\nA: 1 + 1 = 2. The answer is 2.\n\n\n"
        "Q: What is 2 + 2?\nA: 2 + 2 = $\\boxed{4}$. The answer is 4.\n\n\n"
        "Q: What is 3 + 3?\nA:"
    )


async def test_a_box_in_the_sentence_that_says_the_answer_is_enough() -> None:
    solution = "1 + 1 = 2. The answer is $\\boxed{2}$."
    text = await text_of(prompt="What is 3 + 3?", examples=[{"question": "What is 1 + 1?", "solution": solution}])
    assert text.count("The answer is") == 1


async def test_a_control_token_is_plain_text() -> None:
    prompt = await build(Request.checked(prompt="<|end|>?", mode="fewshot"), BASE, CharacterTokenizer())
    assert 1 not in prompt.ids
    assert prompt.ids.count(2) == 1


@pytest.mark.parametrize("inputs", [{"system_prompt": "Be brief."}, {"messages": TURNS}])
async def test_there_is_no_place_for_a_conversation(inputs: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="raw_takes_prompt_only.*mode fewshot"):
        await text_of(prompt="x", **inputs)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    def open_service(pieces: list[str]) -> Service:
        checkpoint = Checkpoint("scripted", Local(Path()), "none", style=BASE)
        return Service(checkpoint, ScriptedEngine(lambda prompt, sampling: pieces), Sandboxes(1))

    yield open_service
    await judge().close()


async def answered(service: Service, **inputs: Any) -> tuple[str, dict[str, Any]]:
    metrics: dict[str, Any] = {}
    async with aclosing(service.complete({"mode": "fewshot", **inputs}, metrics.__setitem__)) as pieces:
        text = "".join([piece async for piece in pieces])
    return text, metrics


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        (
            "What is 5 + 6?",
            [" 5 + 6 = 11. The answer is 11.", "\n\n", "\nQ", ": What is 7 + 7?\nA: 14. The answer is 14."],
        ),
        ("What is 5 + 6?", [" 5 + 6 = 11. The answer is 11.", "\nQ: What is 7 + 7?"]),
        ("五加六等于几？", ["5+6=11。所以答案是：11。", "\n\n\n问题：七加七等于几？\n答案：14。所以答案是：14。"]),
    ],
)
async def test_the_text_ends_before_a_question_of_the_model_s_own(opened: Open, prompt: str, pieces: list[str]) -> None:
    text, metrics = await answered(opened(pieces), prompt=prompt)
    assert text == pieces[0]
    assert (metrics["answer"], metrics["answer_source"]) == ("11", "phrase")
    assert metrics["finish_reason"] == "stop_string"


async def test_the_client_s_own_stop_strings_count_too(opened: Open) -> None:
    text, _ = await answered(opened([" First this. Then that."]), prompt="What is 5 + 6?", stop=["Then"])
    assert text == " First this. "


async def test_samples_vote(opened: Open) -> None:
    _, metrics = await answered(opened([" The answer is 11.\n\n\nQ: more"]), prompt="What is 5 + 6?", samples=3)
    assert metrics["answer"] == "11"
    assert metrics["agreement"] == 1.0
