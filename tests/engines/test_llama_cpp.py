"""What the llama.cpp engine does beside what every engine does (`test_engines.py`), with a real checkpoint."""

import asyncio
import itertools
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_asyncio

from deepseek_math.engines.llama_cpp import engine as llama_cpp
from deepseek_math.engines.llama_cpp import mailbox, shared_prompts, watch
from deepseek_math.engines.llama_cpp.chunk import read_chunk
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.engines.protocol import Delta
from deepseek_math.errors import ServiceError
from deepseek_math.sampling import Sampling
from tests.support.streams import chat, deltas, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
TALK = Sampling(max_new_tokens=32, temperature=0.9, seed=1)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(random_model: Path) -> AsyncIterator[LlamaCppEngine]:
    running = LlamaCppEngine(random_model, context=1024, slots=16)
    await running.start()
    yield running
    await running.close()


async def text(engine: LlamaCppEngine, question: str, sampling: Sampling) -> str:
    return await text_of(engine, await chat(engine, question), sampling)


async def test_temperature_zero_is_greedy_whatever_the_seed(engine: LlamaCppEngine) -> None:
    """The likeliest token each time: what one token at a time from the growing prompt gives."""
    greedy = replace(TALK, temperature=0.0, max_new_tokens=12)
    whole = await text(engine, QUESTIONS[0], greedy)
    assert whole == await text(engine, QUESTIONS[0], replace(greedy, seed=99))
    assert whole == await text(engine, QUESTIONS[0], replace(TALK, temperature=0.9, top_k=1, max_new_tokens=12))
    prompt, stepwise = await chat(engine, QUESTIONS[0]), ""
    for _ in range(12):
        step = await deltas(engine, prompt, replace(greedy, max_new_tokens=1))
        piece = "".join(delta.text for delta in step)
        stepwise += piece
        prompt += await engine.tokenizer.encode(piece, control=False)
    assert stepwise == whole


async def test_a_first_token_and_an_end_are_not_held_back(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a period that never ends here, what comes is what is urgent and what that takes along."""
    monkeypatch.setattr(mailbox, "PERIOD", 3600.0)
    monkeypatch.setattr(engine, "_mailbox", mailbox.Mailbox())
    sampling = replace(TALK, temperature=0.0, max_new_tokens=24)
    first = last = None
    async with asyncio.timeout(60), aclosing(engine.generate(await chat(engine, QUESTIONS[0]), sampling)) as stream:
        async for delta in stream:
            first = first or (time.perf_counter() if delta.tokens else None)
            last = delta.at
    assert first is not None
    assert last is not None
    assert first < last


async def test_cancelling_does_not_wait_for_a_long_prompt_to_be_read(
    random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of it at most, here one of 64 tokens, as in models that are not small."""
    monkeypatch.setattr(llama_cpp, "SMALL_MODEL", 0)
    engine = LlamaCppEngine(random_model, context=1024, slots=2)
    await engine.start()
    try:
        await _cancelled_amid_a_prompt(engine)
    finally:
        await engine.close()


async def _cancelled_amid_a_prompt(engine: LlamaCppEngine) -> None:
    prompt = (await chat(engine, " ".join(reversed(QUESTIONS * 8))))[:1000]
    started = time.perf_counter()
    whole = await deltas(engine, prompt, replace(TALK, max_new_tokens=1, seed=2))
    reading = time.perf_counter() - started
    assert sum(delta.tokens == 0 for delta in whole) > 5  # signs of life while the prompt is read
    prompt[3] += 1  # nothing of it is in the cache
    stream = engine.generate(prompt, replace(TALK, max_new_tokens=1))
    await anext(stream)
    started = time.perf_counter()
    await stream.aclose()
    assert time.perf_counter() - started < 0.5 * reading


async def test_a_fault_in_the_thread_is_an_error_and_the_next_request_works(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def handle_completions(self, *arguments: object) -> None:
            raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_server", Broken())
        with pytest.raises(ServiceError, match="engine_failed") as failed:
            await deltas(engine, await chat(engine, "Hi"), TALK)
        assert isinstance(failed.value.__cause__, MemoryError)
    assert await text(engine, QUESTIONS[0], TALK)
    assert await engine.healthy()


async def test_a_request_that_waits_for_others_shows_that_the_engine_works(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is not given up: only an engine that makes no step for anybody, and computes nothing, has stalled."""
    others_work = threading.Event()
    ended = threading.Event()

    class Busy:
        """Sends nothing for a prompt of 2, and chunks for others while they work."""

        def handle_completions(self, body: bytes, heard: Callable[[bytes], bool]) -> None:
            silent = json.loads(body)["prompt"] == [2]
            while not ended.wait(0.01):
                if others_work.is_set() and not silent:
                    heard(b'{"choices": [{"text": "", "finish_reason": null}], "__verbose": {"tokens_predicted": 0}}')

    monkeypatch.setattr(watch, "TICK", 0.05)
    monkeypatch.setattr(watch, "process_time", lambda: 0.0)
    monkeypatch.setattr(engine, "_server", Busy())
    other = asyncio.create_task(deltas(engine, [1], TALK))
    waiting = engine.generate([2], TALK)
    silence = asyncio.ensure_future(anext(waiting))
    await asyncio.sleep(0.3)
    assert not silence.done()
    others_work.set()
    assert await silence == Delta("", 0)
    assert await anext(waiting) == Delta("", 0)
    others_work.clear()
    seconds = itertools.count()
    monkeypatch.setattr(watch, "process_time", lambda: float(next(seconds)))  # one long step
    for _ in range(3):
        assert await anext(waiting) == Delta("", 0)
    monkeypatch.setattr(watch, "SLOWEST_STEP", 0.0)
    silence = asyncio.ensure_future(anext(waiting))
    if (await asyncio.wait({silence}, timeout=0.3))[0]:  # it was told just before
        silence = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0.3)
    assert not silence.done()
    ended.set()
    other.cancel()
    await asyncio.gather(other, silence, return_exceptions=True)


async def test_a_request_that_is_held_makes_the_engine_unhealthy_until_it_is_let_go(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    class Hanging:
        def handle_completions(self, *arguments: object) -> None:
            let_go.wait(30)

    monkeypatch.setattr("deepseek_math.engines.llama_cpp.engine.RELEASE_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_server", Hanging())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(deltas(engine, [1], TALK), 0.1)
        assert not await engine.healthy()
    let_go.set()
    async with asyncio.timeout(30):
        while not await engine.healthy():  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
    assert await text(engine, QUESTIONS[0], TALK)


@pytest.mark.parametrize(("slots", "threads", "said"), [(257, 1, "SLOTS=257"), (1, 10_000, "THREADS=10000")])
async def test_more_than_llama_cpp_or_the_machine_has_is_refused(
    slots: int, threads: int, said: str, random_model: Path
) -> None:
    with pytest.raises(ServiceError, match=f"setting_invalid: {said}"):
        LlamaCppEngine(random_model, slots=slots, threads=threads)


async def test_the_kv_cache_is_bounded_by_memory(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = read_header(random_model).kv_values_per_token * 2

    def with_free(requests: float) -> LlamaCppEngine:
        free = type("Memory", (), {"available": int(requests * cell * 1024 / 0.4)})
        monkeypatch.setattr("psutil.virtual_memory", lambda: free)
        monkeypatch.setattr("deepseek_math.container.CGROUP", Path("nowhere"))
        return LlamaCppEngine(random_model, context=1024, slots=16)

    assert with_free(1000).gate.slots == 16
    assert with_free(3.5).gate.slots == 3
    assert "3 requests at once" in with_free(3.5).cache
    with pytest.raises(ServiceError, match="memory_exceeded"):
        with_free(0.9)


@pytest.mark.parametrize(("size", "step"), [(2**28 - 1, 256), (2**28, 64)])
async def test_prompts_of_small_models_are_read_in_longer_steps(
    size: int, step: int, random_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    with random_model.open("rb") as whole:
        path.write_bytes(whole.read(3_000_000))
    os.truncate(path, size)
    engine = LlamaCppEngine(path, context=1024, slots=1)
    engine._folder = TemporaryDirectory()
    params = engine._params("socket")
    engine._folder.cleanup()
    assert (params.n_batch, params.n_ubatch) == (step, step)


async def test_greedy_tokens_are_not_sorted_for(engine: LlamaCppEngine) -> None:
    greedy, drawn = (engine._body(0, [1], replace(TALK, temperature=each, top_p=0.9)) for each in (0.0, 0.5))
    assert (greedy["samplers"], greedy["top_k"]) == (["top_k"], 1)
    assert drawn["samplers"] == ["temperature", "top_k", "top_p"]


async def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, random_model: Path) -> None:
    good = random_model.read_bytes()[:300_000]
    for name, content in {
        "empty": b"",
        "text": b"hello, world",
        "short": good[:1000],
        "version": b"GGUF\x09" + good[5:],
    }.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(content)
        with pytest.raises(ServiceError, match="checkpoint_unusable"):
            LlamaCppEngine(path)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(good)
    with pytest.raises(ServiceError, match="checkpoint_unusable"):
        await LlamaCppEngine(cut).start()


def prompt_tokens_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the prompt tokens that llama.cpp computed for each request that ended."""
    read: list[int] = []

    def recording(chunk: Any, at: float) -> Delta:
        delta = convert(chunk, at)
        if delta.finish:
            read.append(chunk["timings"]["prompt_n"])
        return delta

    convert = llama_cpp._delta
    monkeypatch.setattr(llama_cpp, "_delta", recording)
    return read


async def shared(engine: LlamaCppEngine, prompt: list[int], jobs: list[Sampling]) -> list[str]:
    """The texts of these completions, drawn at once while their prompt is shared."""

    async def one(sampling: Sampling) -> str:
        async with engine.gate.enter(len(prompt) + sampling.max_new_tokens):
            return "".join(delta.text for delta in await deltas(engine, prompt, sampling))

    async with aclosing(engine.share(prompt)) as reading:
        async for delta in reading:
            if delta.finish:
                break
        return await asyncio.gather(*map(one, jobs))


async def test_sixteen_samples_read_their_prompt_about_once_and_say_what_each_says_alone(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = await chat(engine, QUESTIONS[1])
    prompt = (await chat(engine, " ".join(QUESTIONS * 7)))[: 600 - len(question)] + question
    jobs = [replace(TALK, max_new_tokens=16, seed=seed, logprobs=True) for seed in range(16)]
    alone = []
    for sampling in jobs[:4]:
        await text(engine, "Something else entirely.", TALK)
        alone.append("".join(delta.text for delta in await deltas(engine, prompt, replace(sampling, logprobs=False))))
    others = [await chat(engine, f"{number} sheep. {QUESTIONS[number % 8]}") for number in range(16)]
    await asyncio.gather(*(deltas(engine, other, TALK) for other in others))  # every slot holds something else now
    read = prompt_tokens_read(monkeypatch)
    texts = await shared(engine, prompt, jobs)
    assert texts[:4] == alone
    assert len(set(texts)) == 16
    print(
        f"prompt tokens computed for 16 samples of {len(prompt)}: {sum(read)}, {sum(read) / len(prompt):.2f} times one"
    )
    assert len(read) == 17
    assert sum(read) <= 1.3 * len(prompt)
    assert not kept_files(engine)


def kept_files(engine: LlamaCppEngine) -> list[Path]:
    return list(Path(engine._folder.name).glob("*.kv"))


async def all_slots_idle(engine: LlamaCppEngine) -> bool:
    taken = {engine._slots.take(())[0] for _ in range(16)}
    for slot in taken:
        engine._slots.give_back(slot, ())
    return len(taken) == 16


async def test_a_vote_given_up_while_its_prompt_is_read_leaves_nothing(engine: LlamaCppEngine) -> None:
    prompt = (await chat(engine, " ".join(QUESTIONS * 7)))[:1000]
    async with aclosing(engine.share(prompt)) as reading:
        assert not (await anext(reading)).finish
    assert tuple(prompt) not in engine._shared
    assert await all_slots_idle(engine)


async def test_a_vote_given_up_while_its_prompt_is_saved_leaves_nothing(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = await chat(engine, " ".join(QUESTIONS * 2))
    saving, saved = asyncio.Event(), asyncio.Event()
    ask = engine._shared._ask

    async def slow(slot: int, action: Any, file: str) -> bool:
        saving.set()
        await asyncio.sleep(0.1)
        done = await ask(slot, action, file)
        saved.set()
        return done

    async def share() -> None:
        async for _ in engine.share(prompt):
            pass

    monkeypatch.setattr(engine._shared, "_ask", slow)
    task = asyncio.create_task(share())
    await saving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await saved.wait()
    await asyncio.sleep(0.1)
    assert not kept_files(engine)
    assert await all_slots_idle(engine)


async def test_two_votes_on_one_prompt_read_it_once_and_the_last_forgets_it(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = await chat(engine, QUESTIONS[6])
    read = prompt_tokens_read(monkeypatch)
    async with aclosing(engine.share(prompt)) as first:
        assert [delta.finish async for delta in _up_to_the_end(first)][-1]
        async with aclosing(engine.share(prompt)) as second:
            assert [delta.finish async for delta in _up_to_the_end(second)] == ["stop"]
        assert tuple(prompt) in engine._shared
        assert len(kept_files(engine)) == 1
    assert tuple(prompt) not in engine._shared
    assert not kept_files(engine)
    assert len(read) == 1


async def _up_to_the_end(stream: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    async for delta in stream:
        yield delta
        if delta.finish:
            return


async def test_a_prompt_too_large_for_the_disk_is_not_kept(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_prompts, "FREE_SHARE", 0.0)
    assert len(await shared(engine, await chat(engine, QUESTIONS[5]), [TALK])) == 1
    assert "too much for the disk" in caplog.text
    assert not kept_files(engine)


async def test_a_shared_prompt_that_cannot_be_kept_is_read_by_each(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a full disk: llama.cpp can't write the file."""
    prompt = await chat(engine, QUESTIONS[5])
    jobs = [replace(TALK, seed=seed) for seed in range(3)]
    expected = [await text(engine, QUESTIONS[5], sampling) for sampling in jobs]
    monkeypatch.setattr(engine._shared, "_numbers", iter(["no/such/folder"]))
    assert await shared(engine, prompt, jobs) == expected
    assert "could not save a shared prompt" in caplog.text


async def test_a_conversation_goes_on_in_the_slot_that_holds_it(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = await chat(engine, QUESTIONS[5])
    await deltas(engine, earlier, TALK)
    await asyncio.gather(*(text(engine, question, TALK) for question in QUESTIONS[:4]))
    read = prompt_tokens_read(monkeypatch)
    await deltas(engine, earlier + await chat(engine, "And 144 by 16?"), TALK)
    assert read[0] < len(earlier)


async def test_completions_of_one_prompt_each_go_on_in_their_own_slot(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the rounds of tool mode do: the text so far, tokenised anew, and some more."""
    prompt = await chat(engine, QUESTIONS[1])
    jobs = [replace(TALK, seed=seed, max_new_tokens=48) for seed in range(8)]
    firsts = await asyncio.gather(*(deltas(engine, prompt, job) for job in jobs))
    read = prompt_tokens_read(monkeypatch)
    for first in reversed(firsts):
        said = "".join(delta.text for delta in first)
        more = await engine.tokenizer.encode(f"{said}\n```output\n42\n```\n", control=False)
        await deltas(engine, [*prompt, *more], TALK)
    print("prompt tokens computed:", read)
    assert sorted(read)[len(read) // 2] < 24  # of about 100: what was added, and the tokens before it that changed


async def test_with_one_slot_nothing_of_an_earlier_request_is_reused(random_model: Path) -> None:
    """K-quants round by the size of the piece that is computed: only whole prompts make their texts exact."""
    alone = LlamaCppEngine(random_model, context=256, slots=1)
    await alone.start()
    try:
        prompt = await chat(alone, " ".join(QUESTIONS[:4]))
        signs = [sum(delta.tokens == 0 for delta in await deltas(alone, prompt, TALK)) for _ in range(2)]
        assert signs[0] == signs[1] > 1
    finally:
        await alone.close()


async def test_of_every_chunk_all_that_counts_is_read(engine: LlamaCppEngine) -> None:
    """As much as the whole chunk says, in whatever words the model writes: those that end the look for more, too."""
    tricky = '"__verbose":{"finish_reason":null} 求 🙂 \\'
    ids = await engine.tokenizer.encode(tricky, control=False)
    heard: list[bytes] = []
    for logprobs in (False, True):
        body = engine._body(0, ids, replace(TALK, logprobs=logprobs, max_new_tokens=8))
        await asyncio.to_thread(engine._server.handle_completions, json.dumps(body).encode(), heard.append)
    whole = json.loads(heard[3])
    whole["choices"][0]["text"] = whole["__verbose"]["content"] = tricky
    heard.append(json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode())
    assert len(heard) > 16
    for data in heard:
        assert llama_cpp._delta(read_chunk(data), 0.0) == llama_cpp._delta(json.loads(data), 0.0)
        assert read_chunk(data)["__verbose"]["tokens"] == json.loads(data)["__verbose"]["tokens"]
