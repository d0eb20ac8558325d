"""A vote over several completions, played by a scripted engine: what the client gets and what it is told."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from deepseek_math import election
from deepseek_math.answers.judging import Verdict, judge
from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.errors import ServiceError
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.prompt_style import DEEPSEEK_TEMPLATE, PromptStyle
from deepseek_math.request import Request
from deepseek_math.sampling import Sampling
from deepseek_math.service import Service
from tests.support.scripted_engine import ScriptedEngine, Step

Record = list[tuple[str, Any]]


def service(scripts: Mapping[int, Sequence[Step]], **engine: Any) -> Service:
    """Each seed has its script."""
    checkpoint = Checkpoint("scripted", Local(Path()), "none", style=PromptStyle(chat_template=DEEPSEEK_TEMPLATE))
    return Service(checkpoint, ScriptedEngine(lambda prompt, sampling: scripts[sampling.seed], **engine), Sandboxes())


async def run(service: Service, **inputs: Any) -> tuple[str, dict[str, Any], Record]:
    """The text, the metrics at the end, and all that was recorded, in order."""
    recorded: Record = []
    inputs = {"prompt": "2+3?", "seed": 0, **inputs}
    async with aclosing(service.complete(inputs, lambda name, value: recorded.append((name, value)))) as pieces:
        text = "".join([piece async for piece in pieces])
    return text, dict(recorded), recorded


def says(answer: str, tokens: int = 1, pause: float = 0.0) -> list[Step]:
    """A completion of `tokens` tokens, after a pause."""
    return [pause, *["."] * (tokens - 1), f"\\boxed{{{answer}}}"]


@pytest.fixture(autouse=True)
async def no_workers_left() -> AsyncIterator[None]:
    yield
    await judge().close()


async def test_the_text_is_one_whole_completion_with_the_winning_answer() -> None:
    scripts: dict[int, Sequence[Step]]
    scripts = {7: says("4"), 8: ["no ", "idea"], 9: says("0.5", 3), 10: says("\\frac12", 5)}
    text, metrics, _ = await run(service(scripts, slots=1), samples=4, seed=7)
    assert text == "..\\boxed{0.5}"
    assert (metrics["answer"], metrics["answer_source"]) == ("0.5", "boxed")
    assert metrics["votes"] == [{"answer": "0.5", "count": 2}, {"answer": "4", "count": 1}]
    assert metrics["agreement"] == 0.5
    assert (metrics["samples_used"], metrics["samples_stopped_early"]) == (4, 0)
    assert (metrics["seed"], metrics["winner_seed"]) == (7, 9)
    assert metrics["completion_tokens"] == 1 + 2 + 3 + 5
    assert metrics["tokens_not_generated"] == 0
    assert metrics["finish_reason"] == "stop"


async def test_of_the_winners_the_likeliest_is_taken() -> None:
    scripts = {0: says("4"), 1: says("4", 2), 2: says("4", 3), 3: says("5", 4)}
    scripted = service(scripts, slots=1)
    scripted.engine.likelihood = {0: -0.5, 1: -0.1, 2: -0.3, 3: -0.01}  # type: ignore[attr-defined]
    text, metrics, _ = await run(scripted, samples=4)
    assert (text, metrics["winner_seed"]) == (".\\boxed{4}", 1)


async def test_of_equal_texts_the_smallest_seed_wins_whatever_the_last_digits_say() -> None:
    """A text's likelihood differs by what else is at work: on the demo winner_seed was 2, and 3 beside others."""
    scripts = {0: says("5"), 1: says("4", 2), 2: says("4", 2), 3: says("5", 4)}
    for last in (-0.1000001, -0.1, -0.0999999):
        scripted = service(scripts, slots=1)
        scripted.engine.likelihood = {0: -0.5, 1: -0.1, 2: last, 3: -0.01}  # type: ignore[attr-defined]
        _, metrics, _ = await run(scripted, samples=4)
        assert metrics["winner_seed"] == 1


async def test_without_any_answer_there_is_a_text_and_no_answer() -> None:
    """The first sample: the likeliest is often one that repeats itself to the end."""
    scripts: dict[int, Sequence[Step]] = {0: [0.1, "I "], 1: ["know "], 2: [0.2, "nothing"]}
    scripted = service(scripts, slots=3)
    scripted.engine.likelihood = {0: -0.5, 1: -0.9, 2: -0.1}  # type: ignore[attr-defined]
    text, metrics, _ = await run(scripted, samples=3)
    assert (text, metrics["winner_seed"]) == ("I ", 0)
    assert "answer" not in metrics
    assert (metrics["votes"], metrics["agreement"]) == ([], 0.0)
    assert (metrics["samples_used"], metrics["samples_without_answer"]) == (3, 3)


async def test_the_answer_of_a_vote_stands_in_its_tally() -> None:
    """Whatever the chosen completion writes for it."""
    scripts = {0: says("12"), 1: says("3 \\times 4", 2), 2: says("5")}
    scripted = service(scripts, slots=1)
    scripted.engine.likelihood = {0: -0.5, 1: -0.1}  # type: ignore[attr-defined]
    text, metrics, _ = await run(scripted, samples=3, expected_answer="12")
    assert text == ".\\boxed{3 \\times 4}"
    assert metrics["votes"] == [{"answer": metrics["answer"], "count": 2}]
    assert metrics["correct"] is True


async def test_a_vote_ends_when_it_is_decided_and_frees_every_slot() -> None:
    """Three of four agree at once; the fourth would take a minute, four more have not begun."""
    scripts = {seed: says("4", 4) for seed in range(4)} | {4: ["a", 60.0]} | {5: says("5"), 6: says("5"), 7: says("5")}
    scripted = service(scripts, slots=6)
    scripted.engine.letting_go = 0.05  # type: ignore[attr-defined]
    _, metrics, _ = await asyncio.wait_for(run(scripted, samples=8), 30)
    assert metrics["votes"][0] == {"answer": "4", "count": 4}
    assert metrics["samples_used"] + metrics["samples_stopped_early"] == 8
    assert metrics["samples_stopped_early"] >= 1
    assert metrics["tokens_not_generated"] >= 1
    assert (scripted.engine.gate.running, scripted.engine.gate.waiting) == (0, 0)
    assert scripted.engine.working == 0  # type: ignore[attr-defined]


async def test_a_sample_that_ends_as_the_vote_is_decided_is_one_that_was_not_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All four end while the first two are compared; two votes decide, and the others are never looked at."""

    async def same(self: election.Comparer, a: str, b: str) -> bool:
        await asyncio.sleep(0.1)
        return a == b

    monkeypatch.setattr(election.Comparer, "same", same)
    _, metrics, _ = await run(service({seed: says("4") for seed in range(4)}, slots=4), samples=4)
    assert metrics["tokens_not_generated"] == 0
    assert (metrics["samples_used"], metrics["samples_stopped_early"]) == (2, 2)


async def test_tokens_not_generated_are_what_the_others_came_to_on_average() -> None:
    scripts: dict[int, Sequence[Step]] = {0: says("4", 10), 1: says("4", 20), 2: ["a", "b", "c", 60.0]}
    _, metrics, _ = await run(service(scripts, slots=3), samples=3)
    assert (metrics["samples_used"], metrics["samples_stopped_early"]) == (2, 1)
    assert metrics["completion_tokens"] == 10 + 20 + 3
    assert metrics["tokens_not_generated"] == 15 - 3


async def test_a_stopped_sample_is_compared_with_those_that_are_longer() -> None:
    scripts: dict[int, Sequence[Step]] = {
        0: says("4", 4),
        1: says("4", 20),
        2: [*"abcdefgh", 60.0],
        3: [*"abc" * 9, 60.0],
    }
    _, metrics, _ = await run(service(scripts, slots=4), samples=4)
    assert metrics["samples_stopped_early"] == 2
    assert metrics["tokens_not_generated"] == (20 - 8) + 0


async def test_below_one_a_sure_lead_ends_the_vote() -> None:
    scripts = {seed: says("4") for seed in range(64)}
    _, metrics, _ = await run(service(scripts, slots=1), samples=64, stop_when_sure=0.95)
    assert (metrics["samples_used"], metrics["agreement"]) == (4, 1.0)
    _, metrics, _ = await run(service(scripts, slots=1), samples=64)
    assert metrics["samples_used"] == 32


async def test_a_vote_counts_samples_by_seed_whichever_finishes_first() -> None:
    """What is decided after three seeds is decided: the fourth, first to finish, is not counted."""
    slow = {0: says("4", pause=0.3), 1: says("5", 2), 2: says("5", 3), 3: says("4", 4, pause=0.1)}
    fast = {0: says("4"), 1: says("5", 2, pause=0.3), 2: says("5", 3, pause=0.1), 3: says("4", 4)}
    outcomes = []
    for scripts in (slow, fast):
        scripted = service(scripts, slots=4)
        scripted.engine.likelihood = {0: -0.3, 1: -0.01, 2: -0.02, 3: -0.1}  # type: ignore[attr-defined]
        text, metrics, _ = await run(scripted, samples=4)
        told = ("votes", "answer", "winner_seed", "samples_used", "undecided_comparisons")
        outcomes.append((text, *(metrics[name] for name in told)))
    assert outcomes[0] == outcomes[1]
    votes = [{"answer": "5", "count": 2}, {"answer": "4", "count": 1}]
    assert outcomes[0] == (".\\boxed{5}", votes, "5", 1, 3, 0)


async def test_a_comparison_that_met_a_bound_of_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def compare(self: object, a: str, b: str) -> Verdict:
        return Verdict(False, 2.0, "took over 2 s")

    monkeypatch.setattr("deepseek_math.answers.judging.Judge.compare", compare)
    _, metrics, _ = await run(service({0: says("4"), 1: says("5"), 2: says("6")}, slots=1), samples=3)
    assert metrics["undecided_comparisons"] == 1 + 2


async def test_the_tally_is_reported_after_every_sample_and_the_text_only_at_the_end() -> None:
    scripts = {0: says("4"), 1: says("5", pause=0.02), 2: says("5", pause=0.04), 3: says("6", pause=0.06)}
    events: list[str] = []
    scripted = service(scripts, slots=4)
    stream = scripted.complete(
        {"prompt": "?", "samples": 4, "seed": 0},
        lambda name, value: (
            events.append(f"{value['finished']} of {value['samples']}: {value['votes'][0]}") if name == "vote" else None
        ),
    )
    async for piece in stream:
        events.append(piece)
    four, five = {"answer": "4", "count": 1}, {"answer": "5", "count": 2}
    assert events == [f"1 of 4: {four}", f"2 of 4: {four}", f"3 of 4: {five}", "\\boxed{5}"]


async def test_each_sample_is_what_its_seed_alone_gives() -> None:
    """Same sampling but for the seed, temperature 0.7 where none is given, and the log-probabilities asked for."""
    seen: list[Sampling] = []
    scripted = service({}, slots=4)
    scripted.engine.script = lambda prompt, sampling: (seen.append(sampling), says(str(sampling.seed)))[1]  # type: ignore[attr-defined, func-returns-value]
    await run(scripted, samples=4, seed=5, top_p=0.5, top_k=9, stop=["x"], max_new_tokens=77)
    assert sorted(sampling.seed for sampling in seen) == [5, 6, 7, 8]
    for sampling in seen:
        expected = Sampling(77, 0.7, top_p=0.5, top_k=9, seed=sampling.seed, stop=("x",), logprobs=True, seen=False)
        assert sampling == expected


async def test_the_prompt_is_read_once_ahead() -> None:
    scripted = service({seed: says("4") for seed in range(8)})
    engine: Any = scripted.engine
    await run(scripted, samples=8)
    assert len(engine.shared) == 1
    assert engine.shared_while_generating
    assert all(engine.shared_while_generating)
    assert engine.sharing == 0
    await run(scripted)
    assert len(engine.shared) == 1


async def test_a_fault_of_one_sample_ends_the_vote_and_stops_the_others() -> None:
    scripts: dict[int, Sequence[Step]] = {0: ["a", 60.0], 1: [ServiceError("engine_failed", "It broke.")], 2: [60.0]}
    scripted = service(scripts, slots=3)
    with pytest.raises(ServiceError, match="engine_failed"):
        await asyncio.wait_for(run(scripted, samples=3), 30)
    assert (scripted.engine.gate.running, scripted.engine.working) == (0, 0)  # type: ignore[attr-defined]


async def test_a_client_that_leaves_stops_every_sample_and_is_told_the_tally() -> None:
    scripts: dict[int, Sequence[Step]] = {0: says("4"), **{seed: ["a", 60.0] for seed in range(1, 12)}}
    scripted = service(scripts, slots=4)
    recorded: dict[str, Any] = {}
    first = asyncio.Event()

    def record(name: str, value: Any) -> None:
        recorded[name] = value
        if name == "vote":
            first.set()

    async def consume() -> None:
        async for _ in scripted.complete({"prompt": "?", "samples": 12, "seed": 0}, record):
            pass

    task = asyncio.create_task(consume())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (recorded["finish_reason"], recorded["samples_used"]) == ("cancelled", 1)
    assert "samples_stopped_early" not in recorded
    assert recorded["votes"] == [{"answer": "4", "count": 1}]
    assert (scripted.engine.gate.running, scripted.engine.gate.waiting) == (0, 0)
    assert scripted.engine.working == 0  # type: ignore[attr-defined]


async def test_a_vote_of_64_leaves_room_for_single_requests() -> None:
    """A single request that comes while the vote fills every slot gets the next one, not the last."""
    scripts = {seed: says(str(seed), pause=0.02) for seed in range(64)} | {1000: says("1")}
    scripted = service(scripts, slots=4)
    finished: list[int] = []
    stream = scripted.complete(
        {"prompt": "?", "samples": 64, "seed": 0},
        lambda name, value: finished.append(value["finished"]) if name == "vote" else None,
    )

    async def vote() -> None:
        async for _ in stream:
            pass

    voting = asyncio.create_task(vote())
    await asyncio.sleep(0.05)
    assert scripted.engine.gate.running == 4
    before = len(finished)
    await run(scripted, seed=1000)
    assert len(finished) - before < 16
    assert not voting.done()
    await voting
    assert finished[-1] == 64


async def test_a_sample_that_the_engine_drops_ends_the_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an engine does, a vote does not wait for a sample that is gone."""
    scripted = service({0: ["a", 60.0], 1: ["b", 60.0], 2: ["c", 60.0]}, slots=3)
    generate = scripted.engine.generate

    async def dropping(prompt: Sequence[int], sampling: Sampling) -> Any:
        async for delta in generate(prompt, sampling):
            if sampling.seed == 1:
                raise asyncio.CancelledError
            yield delta

    monkeypatch.setattr(scripted.engine, "generate", dropping)
    with pytest.raises(ServiceError, match="engine_failed"):
        await asyncio.wait_for(run(scripted, samples=3), 30)
    assert scripted.engine.gate.running == 0


async def test_answers_are_compared_as_text_once_algebra_has_had_its_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Time counts that workers took, not that this vote waited for them."""

    async def compare(self: object, a: str, b: str) -> Verdict:
        return Verdict(a == b, 2.0)

    monkeypatch.setattr("deepseek_math.answers.judging.Judge.compare", compare)
    monkeypatch.setattr(election, "ALGEBRA_SECONDS", 3.0)
    answers = ["7", "8", "9", "7", "0.5", "\\frac12"]
    with caplog.at_level(logging.WARNING):
        _, metrics, _ = await run(service({seed: says(text) for seed, text in enumerate(answers)}, slots=1), samples=6)
    assert "compares its answers as text from here on" in caplog.text
    assert metrics["votes"][0] == {"answer": "7", "count": 2}
    assert {"answer": "0.5", "count": 1} in metrics["votes"]
    assert metrics["undecided_comparisons"] > 0


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"samples": 0}, "samples_out_of_range", "1 to 64"),
    ({"samples": 65}, "samples_out_of_range", "65"),
    ({"samples": 2.5}, "samples_out_of_range", "2.5"),
    ({"samples": 2, "temperature": 0}, "vote_is_greedy", "temperature is 0"),
    ({"stop_when_sure": 0.9}, "vote_of_one", "samples is 1"),
    ({"samples": 2, "stop_when_sure": 0.4}, "stop_when_sure_out_of_range", "0.4"),
    ({"samples": 2, "stop_when_sure": 1.5}, "stop_when_sure_out_of_range", "1.5"),
    ({"samples": 64, "seed": 2**53 - 1}, "seed_out_of_range", "the last seed"),
]


@pytest.mark.parametrize(("inputs", "code", "part"), REFUSED)
async def test_what_makes_no_vote_is_refused_before_any_work(inputs: dict[str, Any], code: str, part: str) -> None:
    scripted = service({0: says("4")})
    with pytest.raises(ServiceError, match=part) as refused:
        await run(scripted, **inputs)
    assert refused.value.code == code
    assert scripted.engine.released == 0  # type: ignore[attr-defined]


def test_the_last_seed_may_be_the_largest() -> None:
    assert Request.checked(prompt="?", samples=64, seed=2**53 - 64).sampling.seed == 2**53 - 64


LOOPING = ["\\boxed{4}", *[" So it is."] * 200]  # in tokens, 200 of them forced


async def test_a_sample_that_repeats_itself_to_no_end_is_ended_early_and_counts() -> None:
    scripts: dict[int, Sequence[Step]] = {0: LOOPING, 1: says("4", 3), 2: says("5")}
    scripted = service(scripts, slots=3)
    scripted.engine.likelihood = {0: -0.001, 1: -0.5, 2: -0.5}  # type: ignore[attr-defined]
    text, metrics, _ = await run(scripted, samples=3)
    assert metrics["votes"] == [{"answer": "4", "count": 2}]
    assert metrics["samples_endless"] == 1
    assert metrics["completion_tokens"] < len(LOOPING)
    assert (text, metrics["winner_seed"], metrics["finish_reason"]) == ("..\\boxed{4}", 1, "stop")


async def test_an_endless_sample_is_chosen_where_no_whole_one_has_the_answer() -> None:
    scripts: dict[int, Sequence[Step]] = {0: says("5"), 1: LOOPING, 2: LOOPING}
    scripted = service(scripts, slots=3)
    scripted.engine.likelihood = {0: -0.5, 1: -0.001, 2: -0.001}  # type: ignore[attr-defined]
    text, metrics, _ = await run(scripted, samples=3)
    assert "".join(map(str, LOOPING)).startswith(text)
    assert (metrics["answer"], metrics["finish_reason"], metrics["doubts"]) == ("4", "repetition", ["repeats"])


async def test_without_an_answer_a_whole_sample_is_chosen_before_an_endless_one() -> None:
    scripts: dict[int, Sequence[Step]] = {0: LOOPING[1:], 1: ["no ", "idea"]}
    scripted = service(scripts, slots=2)
    scripted.engine.likelihood = {0: -0.001, 1: -0.5}  # type: ignore[attr-defined]
    text, metrics, _ = await run(scripted, samples=2)
    assert (text, metrics["samples_endless"]) == ("no idea", 1)


@pytest.mark.parametrize("likelihood", [{}, {0: -0.001, 1: -0.001}])
async def test_a_single_prediction_is_never_ended_for_repeating_itself(likelihood: dict[int, float]) -> None:
    scripted = service({0: LOOPING}, slots=1)
    scripted.engine.likelihood = likelihood  # type: ignore[attr-defined]
    text, metrics, _ = await run(scripted, temperature=0.7)
    assert text == "".join(map(str, LOOPING))
    assert metrics["doubts"] == ["repeats"]
