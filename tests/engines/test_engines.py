"""What every engine promises (`deepseek_math/engines/protocol.py`), asked of all three.

All have random weights: llama.cpp in this process, transformers, and remote on llama.cpp's own HTTP server. What
rounding could change is asked of SmolLM2 too, a real model in 4 bits (`test_smollm2.py`). With VLLM_ENVIRONMENT set it
is vLLM that is asked, and no other: `make test-vllm`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deepseek_math.engines.hf.engine import TransformersEngine
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.protocol import Engine
from deepseek_math.engines.remote.engine import RemoteEngine
from deepseek_math.engines.vllm.engine import VLLMEngine
from deepseek_math.errors import ServiceError
from deepseek_math.sampling import UNSEEN_STEP, Sampling
from tests.support.llama_server import LlamaServer
from tests.support.random_model import make_random_model
from tests.support.streams import deltas, text_of
from tests.support.tiny_llama import make_tiny_llama

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTEXT = 1024
QUESTIONS = [
    "What is 12 + 30?",
    "Tell me a story about a number.",
    "Why is the sky blue?",
    "用中文数到十。",
    "Write five emoji.",
    "Explain how to divide 144 by 12, step by step, and check the result.",
    "Name three prime numbers and say why they are prime.",
    "A farmer has 17 sheep and buys 5 more. Then 3 run away. How many are left?",
]
TALK = Sampling(max_new_tokens=16, temperature=0.9, seed=1)
VLLM = os.environ.get("VLLM_ENVIRONMENT")
ENGINES = ["vllm"] if VLLM else ["llama_cpp", "transformers", "remote"]
OTHERS = [name for name in ENGINES if name != "transformers"]
EAGER = ("--enforce-eager",)  # nothing is compiled at a start
VLLM_HEADS = 2  # of 32 each: its kernels for a CPU take no smaller ones


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=ENGINES)
async def engine(
    request: pytest.FixtureRequest, random_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Engine]:
    if request.param == "remote":
        with LlamaServer(random_model, CONTEXT) as server:
            remote = RemoteEngine(random_model, slots=16, engine_url=server.url)
            await remote.start()
            yield remote
            await remote.close()
        return
    engine: Any
    if request.param == "llama_cpp":
        engine = LlamaCppEngine(random_model, CONTEXT, threads=1)
    elif request.param == "vllm":
        engine = own_vllm(make_tiny_llama(tmp_path_factory.mktemp("tiny"), CONTEXT, VLLM_HEADS))
    else:
        engine = TransformersEngine(make_tiny_llama(tmp_path_factory.mktemp("tiny"), CONTEXT))
    await engine.start()
    yield engine
    await engine.close()


def own_vllm(path: Path) -> VLLMEngine:
    return VLLMEngine(path, slots=16, vllm_args=EAGER, vllm_environment=Path(VLLM or ""))


async def ids_of(engine: Engine, question: str) -> list[int]:
    ids = await engine.tokenizer.encode(f"User: {question}\n\nAssistant:", control=False)
    return ids if engine.tokenizer.bos is None else [engine.tokenizer.bos, *ids]


async def text(engine: Engine, question: str, sampling: Sampling) -> str:
    return await text_of(engine, await ids_of(engine, question), sampling)


async def test_same_seed_gives_the_same_text_alone_or_beside_fifteen_others(engine: Engine) -> None:
    kinds = [
        replace(TALK, temperature=0.3 + place % 4 / 2, top_k=(0, 5, 50)[place % 3], top_p=(1.0, 0.8)[place % 2])
        for place in range(8)
    ]
    jobs = [
        (question, replace(kind, seed=seed)) for seed in (0, 5) for question, kind in zip(QUESTIONS, kinds, strict=True)
    ]
    alone = [await text(engine, *job) for job in jobs]
    assert await asyncio.gather(*(text(engine, *job) for job in jobs)) == alone

    async def later(place: int) -> str:
        await asyncio.sleep(0.13 * place)
        return await text(engine, *jobs[place])

    assert await asyncio.gather(*(later(place) for place in range(16))) == alone
    assert len(set(alone)) >= 14


async def test_greedy_texts_are_the_same_beside_drawn_ones_and_with_log_probabilities(engine: Engine) -> None:
    """Greedy, drawn and told with log-probabilities are ways of their own in a library, here taken in one step."""
    greedy = [(question, replace(TALK, temperature=0.0)) for question in QUESTIONS]
    drawn = [(question, TALK) for question in QUESTIONS[:4]]
    told = [(question, replace(TALK, temperature=0.0, logprobs=True)) for question in QUESTIONS[:4]]
    alone = [await text(engine, *job) for job in (*greedy, *drawn)]
    beside = await asyncio.gather(*(text(engine, *job) for job in (*greedy, *drawn, *told)))
    assert beside == [*alone, *alone[:4]]


async def test_a_long_prompt_is_read_the_same_beside_others(engine: Engine) -> None:
    """Over 512 tokens ggml would switch to other attention kernels; transformers reads it in pieces."""
    long = " ".join(QUESTIONS * 7)
    long = long[: len(long) * 640 // len(await ids_of(engine, long))]
    assert 600 < len(await ids_of(engine, long)) < 900
    alone = await text(engine, long, TALK)
    beside = await asyncio.gather(text(engine, long, TALK), *(text(engine, other, TALK) for other in QUESTIONS))
    assert beside[0] == alone


async def test_every_seed_gives_its_own_text_and_zero_is_a_seed(engine: Engine) -> None:
    seeds = (0, 1, 2, 2**31, 2**32 - 2, 2**53 - 1)
    sampling = replace(TALK, temperature=1.0, top_p=1.0)
    texts = [await text(engine, QUESTIONS[1], replace(sampling, seed=seed)) for seed in seeds]
    assert len(set(texts)) == len(seeds)
    assert texts[0] == await text(engine, QUESTIONS[1], replace(sampling, seed=0))


async def test_the_seed_that_a_library_reads_as_random_is_a_seed(engine: Engine) -> None:
    sampling = replace(TALK, seed=2**32 - 1)
    assert await text(engine, QUESTIONS[1], sampling) == await text(engine, QUESTIONS[1], sampling)


async def test_temperature_zero_is_greedy_whatever_the_rest_says(engine: Engine) -> None:
    greedy = replace(TALK, temperature=0.0)
    whole = await text(engine, QUESTIONS[0], greedy)
    assert whole == await text(engine, QUESTIONS[0], replace(greedy, seed=99, top_k=3, top_p=0.5))
    for coldest in (5e-324, 1e-44, 1e-38, 1e-7):  # in float32 nothing, a logit over them infinity, or a number
        assert whole == await text(engine, QUESTIONS[0], replace(TALK, temperature=coldest))
    assert whole == await text(engine, QUESTIONS[0], replace(TALK, temperature=2.0, top_k=1))
    assert whole == await text(engine, QUESTIONS[0], replace(TALK, temperature=2.0, top_p=1e-9))
    assert whole != await text(engine, QUESTIONS[0], replace(TALK, temperature=2.0, top_p=1.0))


async def test_a_top_k_beyond_the_vocabulary_is_no_limit(engine: Engine) -> None:
    """llama.cpp keeps 32 bits of it: 2^32 + 1 would be greedy."""
    free = await text(engine, QUESTIONS[1], TALK)
    for top_k in (49152, 2**31 - 1, 2**31, 2**32 + 1, 10**30):
        assert await text(engine, QUESTIONS[1], replace(TALK, top_k=top_k)) == free
    assert await text(engine, QUESTIONS[1], replace(TALK, top_k=2)) != free


async def test_tokens_are_counted_exactly_and_the_end_is_named(engine: Engine) -> None:
    """A completion that ended by itself after n tokens is the same, and cut, when n are allowed; n - 1 are fewer."""
    prompt = await ids_of(engine, "Say hi.")
    sampling = replace(TALK, temperature=2.0, top_p=1.0, max_new_tokens=300)  # colder ones hardly ever end
    for seed in range(100):
        free = await deltas(engine, prompt, replace(sampling, seed=seed))
        tokens = free[-1].tokens
        if free[-1].finish == "stop" and tokens > 2:
            break
    assert free[-1].finish == "stop"
    assert [delta.finish for delta in free[:-1]] == [None] * (len(free) - 1)
    said = "".join(delta.text for delta in free)
    assert engine.tokenizer.eos_text not in said
    for limit in (tokens, tokens - 1):
        cut = await deltas(engine, prompt, replace(sampling, seed=seed, max_new_tokens=limit))
        assert (cut[-1].tokens, cut[-1].finish) == (limit, "length")
        assert ("".join(delta.text for delta in cut) == said) == (limit == tokens)
    counts = [delta.tokens for delta in free]
    assert counts[:-1] == sorted(counts[:-1])
    if engine.name != "vllm":  # which joins tokens that its own reader is late for
        assert set(range(1, tokens)) <= set(counts)  # one delta a token


CUT = "𝄞龘"  # seven bytes, each a token


@pytest.mark.parametrize("kind", OTHERS)
async def test_no_character_is_cut(kind: str, tmp_path: Path) -> None:
    """A small vocabulary cuts emoji and rare characters into bytes."""
    path = make_random_model(tmp_path / "says.gguf", says=CUT)
    with ExitStack() as stack:
        engine: Any
        if kind == "vllm":
            engine = own_vllm(make_tiny_llama(tmp_path / "says", heads=VLLM_HEADS, says=CUT))
        elif kind == "remote":
            url = stack.enter_context(LlamaServer(path, context=512, slots=2)).url
            engine = RemoteEngine(path, slots=2, engine_url=url)
        else:
            engine = LlamaCppEngine(path, context=512, slots=2, threads=1)
        await engine.start()
        try:
            prompt = await engine.tokenizer.encode(CUT, control=False)
            assert len(prompt) == 7
            for length in (1, 2, 3, 4, 5, 7, 40):
                cut = await deltas(engine, prompt, Sampling(max_new_tokens=length, temperature=0.0))
                said = "".join(delta.text for delta in cut)
                assert said == (CUT * 6)[: sum((n % 7) in (3, 6) for n in range(length))]
                assert cut[-1].tokens <= length
        finally:
            await engine.close()


async def test_closing_a_stream_returns_and_harms_no_other(engine: Engine) -> None:
    jobs = [(question, replace(TALK, seed=seed)) for seed in (0, 5) for question in QUESTIONS][:15]
    alone = [await text(engine, *job) for job in jobs[:3]]
    prompt = await ids_of(engine, QUESTIONS[1])
    others = [asyncio.create_task(text(engine, *job)) for job in jobs]
    for _ in range(4):
        stream = engine.generate(prompt, replace(TALK, max_new_tokens=900))
        async for delta in stream:
            if delta.tokens >= 3:
                break
        async with asyncio.timeout(30):  # longer is a hang
            await stream.aclose()
    assert (await asyncio.gather(*others))[:3] == alone
    assert await engine.healthy()


async def test_a_stopped_task_returns_and_the_next_request_works(engine: Engine) -> None:
    prompt = await ids_of(engine, QUESTIONS[0])
    expected = await text(engine, QUESTIONS[0], TALK)
    for wait in (0.0, 0.001, 0.05):
        task = asyncio.create_task(deltas(engine, prompt, replace(TALK, max_new_tokens=400)))
        await asyncio.sleep(wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await text(engine, QUESTIONS[0], TALK) == expected


async def test_a_shared_prompt_changes_no_text(engine: Engine) -> None:
    prompt = await ids_of(engine, QUESTIONS[5])
    jobs = [replace(TALK, seed=seed) for seed in range(3)]
    alone = ["".join(delta.text for delta in await deltas(engine, prompt, job)) for job in jobs]
    async with aclosing(engine.share(prompt)) as shared:
        async for delta in shared:
            if delta.finish:
                break
        texts = await asyncio.gather(*(deltas(engine, prompt, job) for job in jobs))
    assert ["".join(delta.text for delta in one) for one in texts] == alone


async def test_control_tokens_are_text_unless_asked_for(engine: Engine) -> None:
    name = engine.tokenizer.eos_text
    acting = await engine.tokenizer.encode(name, control=True)
    plain = await engine.tokenizer.encode(name, control=False)
    assert len(acting) == 1 < len(plain)
    assert await engine.tokenizer.piece(acting[0]) == name
    assert await engine.tokenizer.encode("", control=True) == []


async def test_log_probabilities_are_the_models_own_whatever_the_temperature(engine: Engine) -> None:
    """Of the likeliest token at temperature 0 and top_k 1 the same; never over 0; one for each token, if any."""
    prompt = await ids_of(engine, QUESTIONS[0])
    greedy = await deltas(engine, prompt, replace(TALK, temperature=0.0, logprobs=True))
    warm = await deltas(engine, prompt, replace(TALK, temperature=2.0, top_k=1, logprobs=True))
    logprobs = [value for delta in greedy for value in delta.logprobs]
    assert logprobs == [value for delta in warm for value in delta.logprobs]
    ended = greedy[-1].finish == "stop"  # the end-of-sequence token has one too
    assert len(logprobs) == greedy[-1].tokens + ended
    assert max(logprobs, default=-1.0) <= 0.0
    assert min(logprobs, default=-1.0) < -0.01
    assert not any(delta.logprobs for delta in await deltas(engine, prompt, TALK))


@pytest.mark.parametrize("engine", OTHERS, indirect=True)  # transformers: see its own tests of faults
async def test_a_request_that_the_engine_can_not_do_is_an_error_and_the_next_one_works(engine: Engine) -> None:
    with pytest.raises(ServiceError, match="engine_(failed|refused): .*(invalid tokens|out of vocabulary)"):
        await deltas(engine, [1, 2, 10**9], TALK)
    with pytest.raises(ServiceError, match="engine_(failed|refused): .*context (size|length)"):
        await deltas(engine, [5] * 3000, TALK)
    assert await text(engine, QUESTIONS[0], TALK)


async def test_a_text_that_nobody_sees_grow_is_the_same_and_comes_in_few_deltas(engine: Engine) -> None:
    """On llama.cpp's own HTTP server, which has no such thing, the deltas stay one a token."""
    drawn = replace(TALK, max_new_tokens=100, logprobs=True, temperature=0.7)
    for question in QUESTIONS[:2]:
        ids = await ids_of(engine, question)
        seen, unseen = [await deltas(engine, ids, replace(drawn, seen=seen)) for seen in (True, False)]
        assert "".join(delta.text for delta in unseen) == "".join(delta.text for delta in seen)
        assert (unseen[-1].tokens, unseen[-1].finish) == (seen[-1].tokens, seen[-1].finish)
        logprobs = [[value for delta in each for value in delta.logprobs] for each in (seen, unseen)]
        assert logprobs[0] == pytest.approx(logprobs[1], abs=1e-3)
        told = [delta for delta in unseen if delta.tokens and (delta.text or delta.finish)]
        if engine.name != "remote":
            assert len(told) <= 2 + seen[-1].tokens / UNSEEN_STEP
            again = await deltas(engine, ids, replace(drawn, seen=False))
            assert [delta.tokens for delta in again if delta.text] == [delta.tokens for delta in unseen if delta.text]


async def test_a_text_that_nobody_sees_grow_is_stopped_as_any_other(engine: Engine) -> None:
    stream = engine.generate(await ids_of(engine, QUESTIONS[1]), replace(TALK, max_new_tokens=800, seen=False))
    async with asyncio.timeout(60):
        async for delta in stream:
            if delta.tokens:
                break
        await stream.aclose()
    assert await engine.healthy()
    assert await text(engine, QUESTIONS[0], TALK)
