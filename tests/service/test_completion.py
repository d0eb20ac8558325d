"""What a client is told about every end of a completion: text, finish reason, counts, errors."""

import asyncio
import logging
import time
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.completion import Completion, complete
from deepseek_math.engines.protocol import Delta
from deepseek_math.errors import ServiceError
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.prompts import Prompt
from deepseek_math.sampling import Sampling
from deepseek_math.service import Service
from tests.support.scripted_engine import ScriptedEngine, Step

CHAT = PromptStyle(chat_template=DEEPSEEK_TEMPLATE)


def service(*script: Step, style: PromptStyle = CHAT, **engine: Any) -> Service:
    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=style)
    return Service(checkpoint, ScriptedEngine(lambda prompt, sampling: script, **engine), Sandboxes())


async def run(service: Service, **inputs: Any) -> tuple[str, dict[str, Any], ServiceError | None]:
    recorded: dict[str, Any] = {}
    text = ""
    try:
        async with aclosing(service.complete({"prompt": "2+3?"} | inputs, recorded.__setitem__)) as pieces:
            async for piece in pieces:
                text += piece
    except ServiceError as error:
        return text, recorded, error
    return text, recorded, None


ENDS: list[tuple[tuple[Step, ...], dict[str, Any], str, str, int]] = [
    # script, inputs, text, finish reason, completion tokens
    (("It ", "is ", "5."), {}, "It is 5.", "stop", 3),
    (("It ", "is ", "5."), {"max_new_tokens": 2}, "It is ", "length", 2),
    (("It ", "is ", "5."), {"max_new_tokens": 4}, "It is 5.", "stop", 3),
    (("It ", "is ", "5."), {"max_new_tokens": 3}, "It is 5.", "length", 3),  # the end takes a token too
    (("It ", "is ", "5."), {"stop": ["is"]}, "It ", "stop_string", 2),
    (("It ", "is ", "5."), {"stop": ["s 5"]}, "It i", "stop_string", 3),
    (("It ", "is ", "5."), {"stop": ["5.!"]}, "It is 5.", "stop", 3),
    (("a", None, None, "b"), {}, "ab", "stop", 2),
    ((), {}, "", "stop", 0),
]


@pytest.mark.parametrize(("script", "inputs", "text", "finish", "tokens"), ENDS)
async def test_every_end_is_reported(
    script: tuple[Step, ...], inputs: dict[str, Any], text: str, finish: str, tokens: int
) -> None:
    got, metrics, error = await run(service(*script), seed=7, **inputs)
    assert error is None
    assert got == text
    assert (metrics["finish_reason"], metrics["completion_tokens"]) == (finish, tokens)
    assert (metrics["seed"], metrics["checkpoint"], metrics["engine"]) == (7, "scripted", "scripted")
    assert metrics["prompt_tokens"] > 4
    assert ("time_to_first_token" in metrics) == (tokens > 0)
    assert ("tokens_per_second" in metrics) == (tokens > 1)


ANSWERS: list[tuple[str, str, str | None, str | None, bool | None]] = [
    # completion, expected answer, answer, source, correct
    ("So it is \\boxed{\\frac{1}{2}}.", "0.5", "\\frac{1}{2}", "boxed", True),
    ("So it is \\boxed{50}.", "0.5", "50", "boxed", False),
    ("The answer is 42.", "", "42", "phrase", None),
    ("所以答案是 7。", "7", "7", "phrase", True),
    ("I do not know", "7", None, None, False),
    ("It is \\boxed{4", "4", None, None, False),
]


@pytest.mark.parametrize(("completion", "expected", "answer", "source", "correct"), ANSWERS)
async def test_the_answer_and_its_check_are_reported(
    completion: str, expected: str, answer: str | None, source: str | None, correct: bool | None
) -> None:
    text, metrics, error = await run(service(*completion), expected_answer=expected)
    assert (text, error) == (completion, None)
    assert (metrics.get("answer"), metrics.get("answer_source")) == (answer, source)
    assert metrics.get("correct") == correct
    await judge().close()


async def test_a_seed_is_drawn_and_reported_where_none_is_given() -> None:
    _, metrics, _ = await run(service("a"))
    assert metrics["seed"] >= 0


async def test_a_request_over_the_context_is_refused_with_every_number_before_any_work() -> None:
    thousand = service("a", style=PromptStyle(base=True), context=1000)
    text, metrics, error = await run(thousand, prompt="x" * 900, max_new_tokens=100)
    assert error is not None
    assert (text, error.code) == ("", "context_exceeded")
    for number in ("901", "100", "1001", "1000", "99"):
        assert number in error.message.replace(",", "")
    assert (metrics["finish_reason"], metrics["error_code"], metrics["prompt_tokens"]) == (
        "error",
        "context_exceeded",
        901,
    )
    assert thousand.engine.released == 0  # type: ignore[attr-defined]
    assert (await run(thousand, prompt="x" * 900, max_new_tokens=99))[2] is None


async def test_a_fault_of_the_engine_reaches_the_client_and_the_log_and_the_next_one_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = service("a", "b", ZeroDivisionError("deep inside"))
    with caplog.at_level(logging.WARNING):
        text, metrics, error = await run(broken)
    assert error is not None
    assert (text, error.code) == ("ab", "internal_error")
    assert (metrics["finish_reason"], metrics["completion_tokens"]) == ("error", 2)
    assert "ZeroDivisionError: deep inside" in caplog.text
    assert "Traceback" in caplog.text
    assert (broken.engine.gate.running, broken.engine.working) == (0, 0)  # type: ignore[attr-defined]
    broken.engine.script = lambda prompt, sampling: ("fine",)  # type: ignore[attr-defined]
    assert (await run(broken))[0] == "fine"


ENDLESS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "one long computation, which no thread could end": "{{ 9 ** (9 ** 9) }}",
    "memory": (
        "{% set n = namespace(s='x' * 9999) %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}"
    ),
    "a long prompt": "{{ 'x' * 9999999 }}",
    "a text without an end": "{{ '%099999999999d' % 1 }}",
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_template_that_works_without_an_end_is_ended_and_refused(name: str) -> None:
    """It is a stranger's program. The next prediction finds a template that works."""
    async with asyncio.timeout(60):
        _, metrics, error = await run(service("a", style=PromptStyle(chat_template=ENDLESS[name])))
        assert error is not None
        assert (error.code, metrics["error_code"]) == ("template_failed", "template_failed")
        assert len(error.message) < 300
        text, _, error = await run(service("a", style=CHAT))
        assert (text, error) == ("a", None)


async def test_a_template_that_refuses_or_breaks_is_an_error_of_its_own() -> None:
    for template, code in (
        ("{{ raise_exception('no system role') }}", "template_failed"),
        ("{% if %}", "template_failed"),
        ("{{ messages[0].content + 1 }}", "template_failed"),
        ("{{ ''.__class__.__mro__ }}", "template_failed"),
        ("{{ '\\ud800' }}", "template_failed"),
    ):
        _, metrics, error = await run(service("a", style=PromptStyle(chat_template=template)))
        assert error is not None, template
        assert (error.code, metrics["error_code"]) == (code, code), template


async def test_a_silent_engine_is_given_up_and_its_slot_freed() -> None:
    engine = ScriptedEngine(lambda prompt, sampling: ("a", 60.0), slots=1)
    prompt = Prompt("raw", "x", (1,))
    got = []
    with pytest.raises(ServiceError) as stalled:  # noqa: PT012
        async for piece in complete(engine, prompt, Sampling(), Completion(), stall_seconds=0.1):
            got.append(piece)
    assert (got, stalled.value.code) == (["a"], "engine_stalled")
    assert (engine.gate.running, engine.working) == (0, 0)


async def test_waiting_in_line_is_no_silence() -> None:
    """Only an engine at work can stall: the wait for a slot may take as long as it takes."""
    engine = ScriptedEngine(lambda prompt, sampling: ("a", 0.1, "b", 0.1, "c"), slots=1)

    async def one() -> str:
        pieces = complete(engine, Prompt("raw", "x", (1,)), Sampling(), Completion(), stall_seconds=1.0)
        return "".join([piece async for piece in pieces])

    assert await asyncio.gather(*(one() for _ in range(8))) == ["abc"] * 8


@pytest.mark.parametrize("in_line", [False, True])
async def test_a_cancelled_prediction_reports_itself_and_frees_its_slot(in_line: bool) -> None:
    slow = service("The answer is 4.\n", 60.0, slots=1)
    first = asyncio.create_task(run(slow))
    await asyncio.sleep(0.02)
    recorded: dict[str, Any] = {}
    spoke = asyncio.Event()

    async def consume() -> None:
        async with aclosing(slow.complete({"prompt": "2+3?", "seed": 3}, recorded.__setitem__)) as pieces:
            async for _ in pieces:
                spoke.set()

    if not in_line:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(consume())
    await (asyncio.sleep(0.02) if in_line else spoke.wait())
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert recorded["finish_reason"] == "cancelled"
    assert recorded["completion_tokens"] == (0 if in_line else 1)
    assert recorded["seed"] == 3
    assert recorded.get("answer") == (None if in_line else "4")  # it had said so by then
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (slow.engine.gate.running, slow.engine.working) == (0, 0)  # type: ignore[attr-defined]


async def test_a_token_that_turns_out_to_be_the_end_is_no_token() -> None:
    """llama.cpp counts the end-of-sequence token until it says that it was one."""
    completion = Completion()
    completion.count(Delta("", 1))
    completion.count(Delta("", 0, "stop"))
    assert (completion.tokens, completion.first_token, completion.last_token) == (0, None, None)
    completion = Completion()
    for tokens in (1, 2, 3):
        completion.count(Delta("x", tokens))
        if tokens == 2:
            second = completion.last_token
    completion.count(Delta("", 2, "stop"))
    assert (completion.tokens, completion.last_token) == (2, second)
    assert completion.first_token is not None
    completion.count(Delta("", 2, logprobs=(-0.5, -1.5)))
    assert completion.mean_logprob == -1.0


async def test_times_are_those_of_the_engine_where_it_gives_them() -> None:
    completion = Completion()
    for tokens, at in ((1, 10.0), (2, 10.5), (3, 12.0)):
        completion.count(Delta("x", tokens, at=at))
    assert (completion.first_token, completion.last_token, completion.seconds) == (10.0, 12.0, 2.0)


async def test_time_to_first_token_counts_from_the_request() -> None:
    _, metrics, _ = await run(service(0.2, "a", 0.1, "b"))
    assert 0.2 <= metrics["time_to_first_token"] < 2
    assert 0.5 < metrics["tokens_per_second"] <= 10


async def test_nothing_is_sent_after_a_stop_string() -> None:
    engine = ScriptedEngine(lambda prompt, sampling: ("a END", "b", "c"))
    pieces = complete(engine, Prompt("raw", "x", (1,)), Sampling(stop=("END",)), Completion())
    assert [piece async for piece in pieces] == ["a "]
    assert engine.released == 1


async def test_text_is_sent_as_soon_as_it_is_there() -> None:
    arrivals: list[float] = []
    engine = ScriptedEngine(lambda prompt, sampling: ("a", 0.1, "b", 0.1, "c"))
    async for _ in complete(engine, Prompt("raw", "x", (1,)), Sampling(stop=("zzz",)), Completion()):
        arrivals.append(time.perf_counter())
    assert all(later - earlier > 0.09 for earlier, later in pairwise(arrivals))


@pytest.mark.parametrize(
    ("style", "context", "starts"),
    [
        (CHAT, 4096, "User: What is 2 + 3?"),
        (PromptStyle(chat_template="{{ no.such.thing }}"), 4096, "?"),
        (CHAT, 20, "?"),
    ],
)
async def test_the_warm_up_reads_what_a_client_sends_and_fails_on_no_template(
    style: PromptStyle, context: int, starts: str
) -> None:
    """A broken template, or a context too small for the question, is a matter of the requests that meet it."""
    warmed = service("5", style=style, context=context)
    read: list[str] = []
    engine = warmed.engine
    assert isinstance(engine, ScriptedEngine)
    engine.script = lambda prompt, sampling: [read.append("".join(map(chr, prompt))) or "5"]  # type: ignore[func-returns-value]
    await warmed._warm_up()
    assert [text.lstrip("\x02").startswith(starts) for text in read] == [True]
