"""What a client can have beside the text: every sample of a vote, and the log-probabilities of tokens."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from deepseek_math.answers.judging import judge
from deepseek_math.completion import Completion
from deepseek_math.engines.protocol import Delta
from deepseek_math.errors import ServiceError
from deepseek_math.service import Service
from tests.service.test_election import no_workers_left, says, service
from tests.support.scripted_engine import ScriptedEngine, Step

__all__ = ["no_workers_left"]  # the fixture
SCRIPTS: dict[int, Sequence[Step]] = {
    0: says("4", 3),
    1: says("4.0", pause=0.05),
    2: says("7"),
    3: ["none"],
    4: says("4"),
}


async def run(scripted: Service, **inputs: Any) -> tuple[str, dict[str, Any], dict[str, list[Any]]]:
    """The text, the metrics that replace, and the lists of those that are appended."""
    replaced: dict[str, Any] = {}
    appended: dict[str, list[Any]] = defaultdict(list)

    def record(name: str, value: Any, mode: str = "replace") -> None:
        if mode == "append":
            appended[name].append(value)
        else:
            replaced[name] = value

    async with aclosing(scripted.complete({"prompt": "2+2?", "seed": 0, **inputs}, record)) as pieces:
        text = "".join([piece async for piece in pieces])
    return text, replaced, appended


async def test_all_samples_are_told_each_with_its_seed_and_recount_to_the_tally() -> None:
    text, metrics, appended = await run(service(SCRIPTS, slots=8), samples=5, return_samples=True)
    samples = appended["samples"]
    assert sorted(sample["seed"] for sample in samples) == [0, 1, 2, 3, 4]
    assert samples[-1]["seed"] == 1  # as they end, not as they are counted
    count = 0
    for group in metrics["votes"]:
        members = [
            each for each in samples if each["answer"] and await judge().equivalent(each["answer"], group["answer"])
        ]
        assert len(members) == group["count"]
        count += group["count"]
    assert count + metrics["samples_without_answer"] == metrics["samples_used"] == 5
    by_seed = {sample["seed"]: sample for sample in samples}
    assert by_seed[metrics["winner_seed"]]["text"] == text
    assert by_seed[3] == {"seed": 3, "text": "none", "answer": None, "finish_reason": "stop", "tokens": 1}
    assert sum(sample["tokens"] for sample in samples) == metrics["completion_tokens"]


async def test_asking_for_all_samples_turns_the_early_stop_off() -> None:
    scripts = {seed: says("4", pause=0.02 * seed) for seed in range(6)}
    _, early, appended = await run(service(scripts, slots=8), samples=6)
    assert early["samples_used"] < 6
    assert not appended
    _, whole, appended = await run(service(scripts, slots=8), samples=6, return_samples=True)
    assert whole["samples_used"] == len(appended["samples"]) == 6
    assert whole["samples_stopped_early"] == 0


async def test_a_vote_that_may_stop_early_and_return_all_is_refused() -> None:
    with pytest.raises(ServiceError, match="vote_stops_early: .*0.9"):
        await run(service(SCRIPTS), samples=5, return_samples=True, stop_when_sure=0.9)


async def test_one_completion_is_one_sample() -> None:
    text, _, appended = await run(service(SCRIPTS), return_samples=True)
    assert appended["samples"] == [{"seed": 0, "text": text, "answer": "4", "finish_reason": "stop", "tokens": 3}]


def telling(samples: int) -> Service:
    scripted = service({seed: ["a", "b", "c"] for seed in range(samples)}, slots=8)
    assert isinstance(scripted.engine, ScriptedEngine)
    scripted.engine.likelihood = {seed: -0.5 - seed for seed in range(samples)}
    return scripted


async def test_log_probabilities_are_told_token_by_token_only_where_asked_for() -> None:
    text, _, appended = await run(telling(1), logprobs=True)
    told = [token for group in appended["token_logprobs"] for token in group]
    assert "".join(token["token"] for token in told) == text == "abc"
    assert {token["logprob"] for token in told} == {-0.5}
    assert not (await run(telling(1)))[2]


async def test_a_vote_tells_those_of_the_text_that_it_chose_and_with_all_samples_each_one_s() -> None:
    _, metrics, appended = await run(telling(3), samples=3, return_samples=True, logprobs=True)
    chosen = -0.5 - metrics["winner_seed"]
    assert appended["token_logprobs"] == [[{"token": letter, "logprob": chosen} for letter in "abc"]]
    for sample in appended["samples"]:
        likelihood = -0.5 - sample["seed"]
        assert sample["mean_logprob"] == likelihood
        assert [token["logprob"] for token in sample["token_logprobs"]] == [likelihood] * 3


async def test_an_engine_that_does_not_tell_them_refuses_before_any_work() -> None:
    scripted = service(SCRIPTS)
    assert isinstance(scripted.engine, ScriptedEngine)
    scripted.engine.tells_logprobs = False
    with pytest.raises(ServiceError, match="logprobs_unavailable"):
        await run(scripted, logprobs=True)
    assert scripted.engine.released == 0


def test_the_end_of_sequence_token_is_no_drawn_token_of_the_text() -> None:
    completion = Completion()
    completion.count(Delta("a", 1, logprobs=(-0.1,), token_texts=("a",)))
    completion.count(Delta("", 2, logprobs=(-0.2,), token_texts=("",)))
    completion.count(Delta("", 1, "stop"))
    assert completion.drawn == [("a", -0.1)]
    assert completion.mean_logprob == pytest.approx(-0.15)


@pytest.mark.parametrize("name", ["return_samples", "logprobs"])
async def test_what_is_neither_true_nor_false_is_refused(name: str) -> None:
    with pytest.raises(ServiceError, match=f"flag_invalid: {name} is 1"):
        await run(service(SCRIPTS), **{name: 1})
