"""TIME_LIMIT ends a prediction with its code and what was made so far, and leaves the engine free."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.completion import OutOfTime, until_out_of_time
from deepseek_math.errors import ServiceError
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.service import Service
from tests.support.scripted_engine import ScriptedEngine, Step

LONG = 60.0  # seconds
SHORT = 0.3


@pytest.fixture(autouse=True)
async def no_workers_left() -> AsyncIterator[None]:
    yield
    await judge().close()


def service(scripts: Mapping[int, Sequence[Step]], limit: float | None, slots: int = 4) -> Service:
    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    engine = ScriptedEngine(lambda prompt, sampling: scripts[sampling.seed], slots=slots)
    return Service(checkpoint, engine, Sandboxes(), time_limit=limit)


async def ended(service: Service, **inputs: Any) -> tuple[str, dict[str, Any], ServiceError | None]:
    """The text, the metrics and the error of a prediction."""
    metrics: dict[str, Any] = {}
    inputs = {"prompt": "2+3?", "seed": 0, **inputs}
    text = ""
    async with aclosing(service.complete(inputs, metrics.__setitem__)) as pieces:
        try:
            async for piece in pieces:
                text += piece
        except ServiceError as error:
            return text, metrics, error
    return text, metrics, None


async def test_a_prediction_over_the_limit_ends_with_its_code_and_its_text_so_far() -> None:
    late = service({0: ["So \\boxed{5}", LONG, " and more"]}, SHORT)
    text, metrics, error = await ended(late)
    assert error is not None
    assert error.code == metrics["error_code"] == "time_limit"
    assert "0.3 s" in error.message
    assert text == metrics["text_so_far"] == "So \\boxed{5}"
    assert (metrics["answer"], metrics["finish_reason"], metrics["completion_tokens"]) == ("5", "error", 1)
    assert late.engine.gate.running == 0


async def test_a_vote_over_the_limit_gives_what_was_counted() -> None:
    scripts: dict[int, Sequence[Step]] = {
        0: ["\\boxed{4}"],
        1: ["\\boxed{5}"],
        2: ["\\boxed{5}."],
        3: [LONG],
        4: [LONG],
    }
    late = service(scripts, 1.0, slots=5)
    text, metrics, error = await ended(late, samples=5)
    assert error is not None
    assert error.code == "time_limit"
    assert metrics["votes"] == [{"answer": "5", "count": 2}, {"answer": "4", "count": 1}]
    assert (metrics["samples_used"], metrics["winner_seed"], metrics["answer"]) == (3, 1, "5")
    assert text == metrics["text_so_far"] == "\\boxed{5}"
    assert late.engine.gate.running == 0


async def test_a_vote_of_which_nothing_was_counted_has_its_code_alone() -> None:
    text, metrics, error = await ended(service({0: [LONG], 1: ["\\boxed{5}"]}, SHORT), samples=2)
    assert error is not None
    assert error.code == "time_limit"
    assert (text, metrics["samples_used"]) == ("", 0)
    assert "text_so_far" not in metrics


async def test_waiting_for_a_slot_counts() -> None:
    busy = service({0: ["a"]}, SHORT, slots=1)
    async with busy.engine.gate.enter(1):
        _, metrics, error = await ended(busy)
    assert error is not None
    assert error.code == "time_limit"
    assert metrics["completion_tokens"] == 0


async def test_what_was_spent_before_counts() -> None:
    async def slow() -> AsyncGenerator[str, None]:
        await asyncio.sleep(LONG)
        yield "late"

    async with aclosing(slow()) as pieces, aclosing(until_out_of_time(pieces, LONG, spent=LONG + 1)) as within:
        with pytest.raises(OutOfTime, match="TIME_LIMIT allows 60 s"):
            await asyncio.wait_for(anext(within), LONG / 2)


@pytest.mark.parametrize("limit", [None, LONG])
async def test_within_the_limit_or_without_one_nothing_changes(limit: float | None) -> None:
    text, metrics, error = await ended(service({0: [SHORT, "\\boxed{5}"]}, limit))
    assert (text, metrics["finish_reason"], error) == ("\\boxed{5}", "stop", None)
