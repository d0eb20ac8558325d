"""What nobody sees grow costs no chunk a token: how each adapter asks for it, and hears of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from deepseek_math import prompts
from deepseek_math.answers.extraction import extract
from deepseek_math.answers.judging import judge
from deepseek_math.checkpoints import CHECKPOINTS, fetch
from deepseek_math.completion import Completion, complete
from deepseek_math.engines.hf.engine import TransformersEngine
from deepseek_math.engines.hf.manager import Output
from deepseek_math.engines.llama_cpp import hearing
from deepseek_math.engines.llama_cpp.hearing import PROGRESS, SIGN_OF_LIFE, Arrival, Hearing
from deepseek_math.engines.llama_cpp.mailbox import Mailbox
from deepseek_math.engines.remote.dialects import VLLM
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.repetition import LOOK_TOKENS
from deepseek_math.request import Request
from deepseek_math.sampling import UNSEEN_STEP, Sampling
from deepseek_math.service import Service
from tests.support.streams import deltas
from tests.support.tiny_llama import make_tiny_llama

PROMPT = [5, 6, 7, 8]
SAMPLE = Sampling(max_new_tokens=50, temperature=0.8, top_p=0.9, seed=3, logprobs=True, seen=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("unseen"))


@pytest.fixture
async def engine(folder: Path) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(folder)
    await engine.start()
    yield engine
    await engine.close()


def test_vllm_is_asked_for_a_chunk_now_and_then_and_for_each_token_where_somebody_reads() -> None:
    assert VLLM.body("m", PROMPT, SAMPLE)["stream_interval"] == UNSEEN_STEP
    assert "stream_interval" not in VLLM.body("m", PROMPT, replace(SAMPLE, seen=True))


def test_a_sample_is_looked_at_where_its_deltas_end() -> None:
    assert UNSEEN_STEP % LOOK_TOKENS == 0 or LOOK_TOKENS % UNSEEN_STEP == 0


async def test_transformers_calls_back_once(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine._manager is not None
    router = engine._manager.library.output_router
    delivered: list[Any] = []
    hand_on = router.deliver_batch

    def noted(outputs: list[Any]) -> None:
        delivered.extend(outputs)
        hand_on(outputs)

    monkeypatch.setattr(router, "deliver_batch", noted)
    assert (await deltas(engine, PROMPT, replace(SAMPLE, max_new_tokens=40)))[-1].finish
    assert len(delivered) == 1
    delivered.clear()
    said = await deltas(engine, PROMPT, replace(SAMPLE, max_new_tokens=40, seen=True))
    assert len(delivered) >= said[-1].tokens > 1


async def test_transformers_tells_how_a_sample_grows_without_being_called_back(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look finds whole steps, so that where a sample is ended does not depend on when it was looked at."""
    looks = iter([None, *(Output(list(range(300, 300 + count)), [-0.1] * count, False, None) for count in (5, 20, 50))])

    async def nothing_yet(manager: object, outputs: object) -> None:
        return None

    monkeypatch.setattr(engine, "_next_output", nothing_yet)
    monkeypatch.setattr(engine._manager, "so_far", lambda request_id: next(looks))
    async with aclosing(engine.generate(PROMPT, replace(SAMPLE, max_new_tokens=400))) as stream:
        counts = [(await anext(stream)).tokens for _ in range(5)]
    assert counts == [0, 0, 16, 32, 48]


async def test_transformers_log_probabilities_are_the_model_s_own(engine: TransformersEngine, folder: Path) -> None:
    """Before temperature, top_k, top_p and noise: what one forward pass of the model gives for the tokens drawn."""
    assert engine._manager is not None
    tokens: list[int] = []
    finished = asyncio.Event()

    def receive(output: Output) -> None:
        tokens[:] = output.tokens
        finished.set()

    sampling = replace(SAMPLE, temperature=1.7, top_k=7, top_p=0.8)
    engine._manager.submit("mine", PROMPT, sampling, list(engine._eos), receive)
    async with asyncio.timeout(60):
        await finished.wait()
    told = [value for delta in await deltas(engine, PROMPT, sampling) for value in delta.logprobs]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        scores = model(torch.tensor([PROMPT + tokens])).logits[0, len(PROMPT) - 1 : -1].log_softmax(dim=-1)
    expected = scores.gather(1, torch.tensor(tokens).unsqueeze(-1)).squeeze(-1).tolist()
    assert told == pytest.approx(expected, abs=1e-3)
    assert len(tokens) > 5


async def test_greedy_and_seen_requests_are_told_theirs_too(engine: TransformersEngine) -> None:
    for sampling in (replace(SAMPLE, seen=True), replace(SAMPLE, temperature=0.0)):
        found = await deltas(engine, PROMPT, sampling)
        ended = found[-1].finish == "stop"  # the end-of-sequence token has one too
        assert sum(len(delta.logprobs) for delta in found) == found[-1].tokens + ended
        assert all(value <= 0 for delta in found for value in delta.logprobs)
    assert not any(delta.logprobs for delta in await deltas(engine, PROMPT, replace(SAMPLE, logprobs=False)))


async def test_a_vote_on_transformers_takes_the_likeliest_of_the_winners() -> None:
    checkpoint = CHECKPOINTS["tiny-instruct"]
    engine = TransformersEngine(fetch(checkpoint))
    await engine.start()
    service, metrics = Service(checkpoint, engine, Sandboxes()), dict[str, Any]()
    inputs = {"prompt": "What is 12 + 30?", "samples": 6, "temperature": 1.0, "seed": 0, "max_new_tokens": 120}
    try:
        async with aclosing(service.complete(inputs, metrics.__setitem__)) as pieces:
            chosen = "".join([piece async for piece in pieces])
        drawn = [await completion(service, inputs, seed) for seed in range(metrics["samples_used"])]
    finally:
        await judge().close()
        await engine.close()
    winners = [each for each in drawn if extract(each.text).text == metrics["answer"]]
    assert len(winners) == metrics["votes"][0]["count"] > 1
    likeliest = max(winners, key=lambda each: each.mean_logprob or 0.0)
    assert chosen == likeliest.text
    assert likeliest.mean_logprob is not None
    assert likeliest.mean_logprob < 0


async def completion(service: Service, inputs: dict[str, Any], seed: int) -> Completion:
    """The sample of a vote, alone."""
    request = Request.checked(**inputs)
    prompt = await prompts.build(request, service.checkpoint.style, service.engine.tokenizer)
    sampling = replace(request.sampling.with_stops(prompt.stops), seed=seed, logprobs=True)
    alone = Completion()
    async with aclosing(complete(service.engine, prompt, sampling, alone)) as pieces:
        async for _ in pieces:
            pass
    return alone


CHUNK, READING = b'{"choices":[]}', b"{" + PROGRESS + b"{}}"


async def heard(step: int, chunks: list[bytes]) -> list[Arrival]:
    arrived: list[Arrival] = []
    ear = Hearing(Mailbox(), arrived.append, step)

    def call_back() -> None:
        for chunk in chunks:
            assert not ear(chunk)
        ear.end(None)

    await asyncio.to_thread(call_back)
    await asyncio.sleep(0.1)
    return arrived


async def test_llama_cpp_s_chunks_are_handed_on_many_at_a_time_and_the_first_token_at_once() -> None:
    *told, end = await heard(16, [READING, READING, *[CHUNK] * 40])
    assert [len(item[1]) for item in told if isinstance(item, tuple)] == [1, 1, 1, 16, 16, 7]
    assert end is None
    *told, end = await heard(1, [READING, *[CHUNK] * 5])
    assert [len(item[1]) for item in told if isinstance(item, tuple)] == [1] * 6


async def test_chunks_that_are_kept_back_are_a_sign_of_life_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 7B on few cores takes longer for sixteen tokens than a silent engine is given."""
    monkeypatch.setattr(hearing, "SIGN_SECONDS", -1.0)
    told = await heard(16, [CHUNK, CHUNK, CHUNK])
    assert told[1:3] == [SIGN_OF_LIFE, SIGN_OF_LIFE]
