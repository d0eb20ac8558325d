"""The remote engine on llama.cpp's own HTTP server, beside what every engine does (`test_engines.py`)."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.protocol import Delta, Engine
from deepseek_math.engines.remote.engine import RemoteEngine
from deepseek_math.errors import ServiceError
from deepseek_math.local.client import stream
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from deepseek_math.sampling import Sampling
from tests.support import streams
from tests.support.deepseek_tokenizer import EOS
from tests.support.llama_server import LlamaServer
from tests.support.streams import chat

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALK = Sampling(max_new_tokens=24, temperature=0.9, seed=1)
QUESTIONS = ("What is 12 + 30?", "用中文数到十。", "Write five emoji. 🙂", "Show that \\frac{1}{2} of 84 is 42.")


@pytest.fixture(scope="module")
def llama(random_model: Path) -> Iterator[LlamaServer]:
    with LlamaServer(random_model, context=512, slots=4) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(random_model: Path, llama: LlamaServer) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(random_model, engine_url=llama.url + "/v1/")
    await engine.start()
    yield engine
    await engine.close()


async def deltas(engine: Engine, question: str, sampling: Sampling = TALK) -> list[Delta]:
    return await streams.deltas(engine, await chat(engine, question), sampling)


async def test_texts_counts_and_probabilities_are_those_of_the_engine_in_this_process(
    engine: RemoteEngine, random_model: Path
) -> None:
    """The same weights, settings, token ids and seeds: all that lies between is the way there."""
    here: Any = LlamaCppEngine(random_model, context=512, slots=4)
    await here.start()
    try:
        for place, question in enumerate(QUESTIONS):
            sampling = replace(TALK, seed=2**40 + place, top_k=(0, 5)[place % 2], logprobs=True, max_new_tokens=40)
            assert await chat(engine, question) == await chat(here, question)
            found = [await deltas(each, question, sampling) for each in (engine, here)]
            texts = ["".join(delta.text for delta in each) for each in found]
            assert texts[0] == texts[1] != ""
            counts = [[(delta.text, delta.tokens) for delta in each if delta.text] for each in found]
            assert counts[0] == counts[1]
            ends = [(each[-1].tokens, each[-1].finish) for each in found]
            assert ends[0] == ends[1]
            logprobs = [[value for delta in each for value in delta.logprobs] for each in found]
            assert logprobs[0] == pytest.approx(logprobs[1])
    finally:
        await here.close()


async def test_a_vocabulary_without_weights_tokenises_as_the_loaded_file(
    engine: RemoteEngine, random_model: Path
) -> None:
    here: Any = LlamaCppEngine(random_model, context=256, slots=1)
    await here.start()
    try:
        ours, theirs = engine.tokenizer, here.tokenizer
        assert (ours.bos, ours.bos_text, ours.eos_text) == (theirs.bos, theirs.bos_text, theirs.eos_text)
        assert ours.chat_template == theirs.chat_template
        for text in (*QUESTIONS, "  a\n\n\tb", f"{EOS} x", "def f(x):\n    return x**2", "é 👩‍👩‍👧 ½ ∑", ""):
            for control in (True, False):
                assert await ours.encode(text, control=control) == await theirs.encode(text, control=control)
    finally:
        await here.close()


async def test_the_server_s_context_is_found_out(engine: RemoteEngine, random_model: Path, llama: LlamaServer) -> None:
    assert (engine.context, engine.gate.slots) == (512, 64)
    more = RemoteEngine(random_model, context=1024, engine_url=llama.url)
    with pytest.raises(ServiceError, match="setting_invalid: CONTEXT is 1024 tokens.*8192.*512"):
        await more.start()
    await more.close()


async def test_closing_streams_frees_the_server_s_slots_and_harms_no_other(
    engine: RemoteEngine, llama: LlamaServer
) -> None:
    expected = "".join(delta.text for delta in await deltas(engine, QUESTIONS[0]))
    long = replace(TALK, max_new_tokens=450, seed=0)  # with this seed it does not end by itself
    prompt = await chat(engine, "Tell me a very long story about all the numbers there are.")
    streams = [engine.generate(prompt, long) for _ in range(3)]
    for each in streams:
        async for delta in each:
            if delta.tokens >= 2:
                break
    assert await asyncio.to_thread(llama.at_work) == 3
    other = asyncio.create_task(deltas(engine, QUESTIONS[0]))
    for each in streams:
        await each.aclose()
    assert "".join(delta.text for delta in await other) == expected
    assert await asyncio.to_thread(llama.at_work) == 0
    assert await engine.healthy()


async def test_more_requests_than_the_server_has_slots_wait_there(engine: RemoteEngine) -> None:
    texts = await asyncio.gather(*(deltas(engine, QUESTIONS[0], replace(TALK, seed=seed % 2)) for seed in range(9)))
    said = ["".join(delta.text for delta in each) for each in texts]
    assert len(set(said)) == 2
    assert said[0] == said[2] == said[8]


async def test_a_server_that_is_started_as_the_page_says_does(random_model: Path) -> None:
    """With llama.cpp's own defaults for all but slots and context."""
    told = re.search(r"`llama-server -m \S+ -np (\d+) -c (\d+)`", (ROOT / "docs/cluster.md").read_text())
    assert told
    slots, context = int(told[1]), int(told[2]) // 8  # of a small model
    with LlamaServer(random_model, flags=["-np", str(slots), "-c", str(context)]) as server:
        engine = RemoteEngine(random_model, engine_url=server.url)
        await engine.start()
        try:
            assert engine.context == context // slots
            for question in QUESTIONS:
                sampling = replace(TALK, logprobs=True, temperature=0.0)
                found = await deltas(engine, question, sampling)
                again = await deltas(engine, question, sampling)
                said = ["".join(delta.text for delta in each) for each in (found, again)]
                assert said[0] == said[1] != ""
                ended = found[-1].finish == "stop"
                if said[0].isascii():  # else some tokens are parts of characters, which have none
                    assert sum(len(delta.logprobs) for delta in found) == found[-1].tokens + ended
                assert ended or found[-1].tokens == sampling.max_new_tokens
        finally:
            await engine.close()


async def test_a_key_is_asked_for_and_taken(random_model: Path) -> None:
    with LlamaServer(random_model, context=256, slots=1, key="right") as server:
        for key in (None, "wrong"):
            engine = RemoteEngine(random_model, engine_url=server.url, engine_api_key=key)
            with pytest.raises(ServiceError, match="engine_refused: .*401"):
                await engine.start()
            await engine.close()
        engine = RemoteEngine(random_model, engine_url=server.url, engine_api_key="right")
        await engine.start()
        assert (await deltas(engine, QUESTIONS[0]))[-1].tokens
        await engine.close()


async def test_a_server_that_dies_amid_a_text_is_told_and_so_is_one_that_is_gone(random_model: Path) -> None:
    with LlamaServer(random_model, context=512, slots=2) as server:
        engine = RemoteEngine(random_model, engine_url=server.url)
        await engine.start()
        story = engine.generate(await chat(engine, "Tell me a long story."), replace(TALK, max_new_tokens=400))
        async for delta in story:
            if delta.tokens >= 3:
                break
        server.kill()

        async def rest() -> None:
            async for _ in story:
                pass

        with pytest.raises(ServiceError, match="engine_unreachable: .*broke off"):
            await rest()
        assert not await engine.healthy()
        with pytest.raises(ServiceError, match="engine_unreachable: No server can be reached"):
            await deltas(engine, QUESTIONS[0])
    with LlamaServer(random_model, context=512, slots=2) as again:
        engine._server.root = again.url  # as if it were started anew at the old address
        assert (await deltas(engine, QUESTIONS[0]))[-1].tokens
        await engine.close()


async def test_metrics_tell_which_model_answers_where(
    random_model: Path, llama: LlamaServer, engine: RemoteEngine
) -> None:
    where = llama.url.removeprefix("http://")
    environment = {"CHECKPOINT": str(random_model), "ENGINE_URL": llama.url, "ENGINE_API_KEY": "my-secret"}
    with LocalServer(environment=environment) as server:
        *_, last = stream(server.url, {"prompt": "Hi", "max_new_tokens": 2})
    assert last.data["metrics"]["engine_settings"] == f"context 512, {engine._remote.model} at {where}"
    assert "checkpoint_digest" not in last.data["metrics"]
    assert "my-secret" not in str(last.data)


async def test_the_service_is_the_same_before_a_server(
    random_model: Path, llama: LlamaServer, server: LocalServer
) -> None:
    """Through Cog: prompts, stop strings, seeds, the vote and the metrics, held against the engine in the process."""
    environment = {"CHECKPOINT": str(random_model), "ENGINE_URL": llama.url}
    inputs = {"prompt": QUESTIONS[0], "mode": "chat", "temperature": 0.9, "max_new_tokens": 40, "seed": 3}
    kinds = [inputs, inputs | {"stop": ["bag"]}, inputs | {"samples": 4, "max_new_tokens": 24}]

    def ask(url: str) -> list[tuple[str, dict[str, object]]]:
        found = []
        for kind in kinds:
            events = list(stream(url, kind))
            assert events[-1].data["status"] == "succeeded", events[-1].data
            metrics = events[-1].data["metrics"]
            same = ("prompt_tokens", "finish_reason", "seed", "answer", "votes", "winner_seed")
            text = "".join(event.data["chunk"] for event in events if event.kind == "output")
            found.append((text, {name: metrics.get(name) for name in same}))
        return found

    with LocalServer(environment=environment, concurrency=8) as remote:
        assert await asyncio.to_thread(ask, remote.url) == await asyncio.to_thread(ask, server.url)
        log = remote.log.read_text()
    assert f"{llama.url.removeprefix('http://')}: a llama.cpp server with the model random" in log
    assert "loaded on remote: context 512 tokens, up to 64 requests at once" in log
