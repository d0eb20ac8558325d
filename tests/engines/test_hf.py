"""Properties that the transformers engine has beside those of `test_engines.py`, on a tiny random Llama."""

import asyncio
import json
import logging
import random
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.offloading_manager import OffloadingManager

from deepseek_math.engines import registry
from deepseek_math.engines.hf import engine as module
from deepseek_math.engines.hf import model as hf_model
from deepseek_math.engines.hf import paged_cache
from deepseek_math.engines.hf.engine import TransformersEngine
from deepseek_math.engines.hf.manager import GumbelProcessor
from deepseek_math.engines.hf.noise import NO_NOISE, gumbel_noise, step_key
from deepseek_math.engines.hf.tokenizer import Detokenizer, HFTokenizer
from deepseek_math.engines.protocol import Delta, Engine
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings
from tests.support.tiny_llama import BOS, EOS, make_tiny_llama

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROMPTS = [f"User: What is {n} + {n * n}?\n\nAssistant:" for n in range(16)]
WARM = Sampling(max_new_tokens=48, temperature=1.0, top_p=0.9, seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("tiny_llama"))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(folder: Path) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(folder)
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> HFTokenizer:
    return HFTokenizer(folder)


def manager_of(engine: TransformersEngine) -> Any:
    """The library's own manager."""
    assert engine._manager is not None
    return engine._manager.library


async def ids_of(engine: Engine, prompt: str) -> list[int]:
    return [engine.tokenizer.bos or 0, *await engine.tokenizer.encode(prompt, control=False)]


async def deltas(engine: Engine, prompt: str, sampling: Sampling) -> list[Delta]:
    return [delta async for delta in engine.generate(await ids_of(engine, prompt), sampling)]


async def text(engine: Engine, prompt: str, sampling: Sampling) -> str:
    return "".join(delta.text for delta in await deltas(engine, prompt, sampling))


async def drain(stream: AsyncIterator[Delta]) -> None:
    async for _ in stream:
        pass


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def greedy_tokens(model: Any, prompt: list[int], limit: int) -> list[int]:
    """What the library's plain `generate` makes of a prompt, end-of-sequence included."""
    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    tokens: list[int] = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=limit)[0].tolist()
    return tokens[len(prompt) :]


def drawn_tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by every token the engine turns into text."""
    drawn: list[int] = []
    step = Detokenizer.step

    def recording(self: Detokenizer, token: int) -> str:
        drawn.append(token)
        return step(self, token)

    monkeypatch.setattr(Detokenizer, "step", recording)
    return drawn


class Script:
    """Makes the model say given tokens: its logits at a position favour the scripted token that follows."""

    def __init__(self, prompt: list[int], tokens: list[int], vocab: int) -> None:
        self.sequence = prompt + tokens
        self.vocab = vocab

    def __call__(self, **batch: Any) -> Any:
        positions = batch["position_ids"][0, batch["logits_to_keep"]].tolist()
        logits = torch.zeros(1, len(positions), self.vocab)
        for row, position in enumerate(positions):
            logits[0, row, self.sequence[position + 1]] = 1.0
        return type("Output", (), {"logits": logits})


# Sampling


async def test_temperature_zero_equals_plain_generate_token_for_token(
    engine: TransformersEngine, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_tokens(monkeypatch)
    for prompt in PROMPTS[:8]:
        drawn.clear()
        expected = greedy_tokens(model, await ids_of(engine, prompt), 64)
        stopped = expected[-1] == model.config.eos_token_id
        found = await deltas(engine, prompt, Sampling(max_new_tokens=64))
        assert drawn == (expected[:-1] if stopped else expected)
        assert (found[-1].finish, found[-1].tokens) == ("stop" if stopped else "length", len(drawn))


async def test_the_text_is_what_decode_makes_of_the_tokens(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_tokens(monkeypatch)
    said = await text(engine, PROMPTS[3], WARM)
    reference = AutoTokenizer.from_pretrained(engine._path).decode(drawn, skip_special_tokens=True)
    assert said == reference.rstrip("\ufffd") != ""


async def test_a_tiny_temperature_is_greedy(engine: TransformersEngine) -> None:
    greedy = await text(engine, PROMPTS[1], Sampling(max_new_tokens=40))
    assert greedy == await text(engine, PROMPTS[1], Sampling(max_new_tokens=40, temperature=1e-300, top_p=1.0, seed=3))


async def test_sampled_frequencies_match_softmax() -> None:
    """Chi-square over 20,000 draws, 7 degrees of freedom: 24.3 is passed by chance once in 1,000 times."""
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, 1.5])
    for keys in (
        torch.tensor([step_key(seed, 100) for seed in range(20_000)]),
        torch.tensor([step_key(7, position) for position in range(20_000)]),
    ):
        draws = (logits + gumbel_noise(keys, 8)).argmax(dim=-1)
        expected = logits.softmax(dim=-1) * len(keys)
        assert float(((draws.bincount(minlength=8) - expected) ** 2 / expected).sum()) < 24.3


async def test_noise_of_neighbouring_seeds_positions_and_tokens_is_uncorrelated() -> None:
    size = 400
    grid = torch.stack(
        [gumbel_noise(torch.tensor([step_key(seed, at) for at in range(20)]), size) for seed in range(20)]
    )  # [seed, position, token]
    assert abs(float(grid.mean()) - 0.5772) < 0.02  # Euler's constant is the mean of a standard Gumbel
    assert abs(float(grid.var()) - 1.6449) < 0.05  # pi^2 / 6 its variance
    for dimension in range(3):
        near, far = (
            grid.narrow(dimension, 0, grid.size(dimension) - 1),
            grid.narrow(dimension, 1, grid.size(dimension) - 1),
        )
        assert abs(float(torch.corrcoef(torch.stack([near.flatten(), far.flatten()]))[0, 1])) < 0.02


async def test_every_bit_of_a_seed_counts_and_no_key_means_greedy() -> None:
    assert len({step_key(1 << bit, 5) for bit in range(53)} | {step_key(0, 5)}) == 54
    assert max(step_key(0, position) for position in range(100)) > 2**31
    assert NO_NOISE not in {step_key(seed, position) for seed in range(300) for position in range(300)}
    noise = gumbel_noise(torch.tensor([NO_NOISE, -1, 2**31 - 1], dtype=torch.int32), 102_400)
    assert not noise[0].any()
    assert noise[1:].isfinite().all()


async def test_uniforms_stay_inside_zero_and_one_at_the_ends_of_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (0, 2**32 - 1):
        monkeypatch.setattr(
            "deepseek_math.engines.hf.noise._lowbias32", lambda x, value=value: torch.full_like(x, value)
        )
        assert gumbel_noise(torch.tensor([1]), 4).isfinite().all()


async def test_the_position_is_right_with_asynchronous_batching_too() -> None:
    """There generated_tokens lags a step behind, so the key may not depend on it."""
    state = type("State", (), {"logit_processor_kwargs": {"seed": 3}, "position_offset": 12, "generated_tokens": []})
    arguments = GumbelProcessor().prepare_tensor_args([type("Future", (), {"state": state})])
    assert int(arguments.view(torch.uint32)[0]) == step_key(3, 12)


# Text


async def test_emoji_and_chinese_are_never_cut(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "é 👩‍👩‍👧 通过逐步推理 🎉 done"
    prompt = await ids_of(engine, "x")
    tokens = await engine.tokenizer.encode(said, control=False)
    end = await engine.tokenizer.encode(EOS, control=True)
    monkeypatch.setattr(engine._model, "forward", Script(prompt, tokens + end, engine._model.config.vocab_size))
    found = await deltas(engine, "x", Sampling(max_new_tokens=200))
    assert "".join(delta.text for delta in found) == said
    assert "\ufffd" not in "".join(delta.text for delta in found)
    assert (found[-1].finish, found[-1].tokens) == ("stop", len(tokens))


async def test_an_unfinished_character_at_the_end_is_not_sent(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = await ids_of(engine, "x")
    tokens = await engine.tokenizer.encode("ok 🎉", control=False)
    monkeypatch.setattr(engine._model, "forward", Script(prompt, tokens, engine._model.config.vocab_size))
    found = await deltas(engine, "x", Sampling(max_new_tokens=len(tokens) - 1))
    assert "".join(delta.text for delta in found) == "ok "
    assert (found[-1].finish, found[-1].tokens) == ("length", len(tokens) - 1)


async def test_control_tokens_never_appear_in_the_text(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = await ids_of(engine, "x")
    tokens = await engine.tokenizer.encode(f"a{BOS}b{EOS}", control=True)
    monkeypatch.setattr(engine._model, "forward", Script(prompt, tokens, engine._model.config.vocab_size))
    found = await deltas(engine, "x", Sampling(max_new_tokens=20))
    assert "".join(delta.text for delta in found) == "ab"
    assert (found[-1].finish, found[-1].tokens) == ("stop", 3)


async def test_pieces_of_random_bytes_join_to_what_decode_says(tokenizer: HFTokenizer) -> None:
    for seed in range(300):
        draw = random.Random(seed)
        tokens = [draw.randrange(402) for _ in range(200)]
        detokenizer = Detokenizer(tokenizer)
        assert "".join(map(detokenizer.step, tokens)) == tokenizer.decode(tokens).rstrip("\ufffd")


# Leaving


async def test_closing_a_stream_frees_its_cache_within_a_step_and_harms_no_other(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are counted where a cancel is asked for and where the manager's thread obeys: this thread may lag."""
    manager = manager_of(engine)
    scheduler, cancel = manager.batch_processor.scheduler, manager.cancel_request
    clear, asked, obeyed = scheduler.clear_cancelled_requests, list[int](), list[int]()
    turned = asyncio.Event()  # the loop has turned since the stream was closed

    def cancelled(request_id: str) -> None:
        assert not turned.is_set()
        cancel(request_id)
        asked.append(manager.current_batch)

    def cleared() -> Any:
        if states := clear():
            obeyed.append(manager.current_batch)
        return states

    monkeypatch.setattr(manager, "cancel_request", cancelled)
    monkeypatch.setattr(scheduler, "clear_cancelled_requests", cleared)
    alone = await text(engine, PROMPTS[0], WARM)
    latencies, steps = [], []
    for prompt in PROMPTS[1:6]:
        other = asyncio.create_task(text(engine, PROMPTS[0], WARM))
        stream = engine.generate(await ids_of(engine, prompt), Sampling(max_new_tokens=400, temperature=1.0, seed=5))
        await anext(stream)
        turned.clear()
        asyncio.get_running_loop().call_soon(turned.set)
        before, began = manager.current_batch, time.perf_counter()
        await stream.aclose()
        latencies.append(time.perf_counter() - began)
        steps.append(manager.current_batch - before)
        assert len(scheduler.active_requests) <= 1
        assert await other == alone
    assert len(asked) == len(obeyed) == 5
    # At most the step under way and one just begun; until the stream is closed, but for when this thread lags behind.
    assert all(late - early <= 2 for early, late in zip(asked, obeyed, strict=True))
    assert sorted(steps)[2] <= 2
    print(f"cancel latency: {max(latencies) * 1000:.1f} ms at most")


async def test_a_step_that_hangs_is_given_up_and_told_by_health(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    forward = engine._model.forward

    def hanging(*arguments: Any, **more: Any) -> Any:
        let_go.wait(30)
        return forward(*arguments, **more)

    monkeypatch.setattr(module, "RELEASE_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(engine._model, "forward", hanging)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(text(engine, PROMPTS[0], WARM), 0.2)
        assert not await engine.healthy()
        let_go.set()
    assert await text(engine, PROMPTS[0], WARM)
    await asyncio.sleep(0.1)
    assert await engine.healthy()


async def test_a_stopped_task_returns_once_the_engine_has_let_go(engine: TransformersEngine) -> None:
    scheduler = manager_of(engine).batch_processor.scheduler
    for wait in (0.0, 0.001, 0.05):
        task = asyncio.create_task(text(engine, PROMPTS[0], Sampling(max_new_tokens=400, temperature=1.0, seed=5)))
        await asyncio.sleep(wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not scheduler.active_requests
        assert not scheduler.waiting_requests
    assert not manager_of(engine).output_router.result_handlers


# Prompts that several completions share


async def test_sixteen_samples_read_their_prompt_about_once_and_say_what_each_says_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    search = PagedAttentionCache.search_prefix_match

    def counted(cache: PagedAttentionCache, request_id: str, prompt_ids: list[int]) -> int:
        found.append(search(cache, request_id, prompt_ids))
        return found[-1]

    prompt = [7 + n % 50 for n in range(600)]
    jobs = [replace(WARM, max_new_tokens=24, seed=seed) for seed in range(16)]

    async def said(engine: TransformersEngine, sampling: Sampling) -> str:
        async with engine.gate.enter(600 + 24):
            return "".join([delta.text async for delta in engine.generate(prompt, sampling)])

    alone = []
    for sampling in jobs[:4]:
        fresh = TransformersEngine(make_tiny_llama(tmp_path / str(sampling.seed), 1024))
        await fresh.start()
        alone.append(await said(fresh, sampling))
        await fresh.close()
    engine = TransformersEngine(make_tiny_llama(tmp_path / "shared", 1024))
    await engine.start()
    monkeypatch.setattr(PagedAttentionCache, "search_prefix_match", counted)
    try:
        async with aclosing(engine.share(prompt)) as shared:
            async for delta in shared:
                if delta.finish:
                    break
            texts = await asyncio.gather(*(said(engine, sampling) for sampling in jobs))
    finally:
        await engine.close()
    assert texts[:4] == alone
    assert len(set(texts)) == 16
    read = len(found) * len(prompt) - sum(found)
    print(f"prompt tokens computed for 16 samples of {len(prompt)}: {read}, {read / len(prompt):.2f} times one prompt")
    assert len(found) == 17  # the one that read ahead, and the samples
    assert read <= 1.3 * len(prompt)


# Memory


def bytes_per_token(folder: Path) -> int:
    model = AutoModelForCausalLM.from_pretrained(folder)
    return sum(paged_cache.bytes_per_token(model.config, model.dtype.itemsize, paged_cache.CPU_BATCH_TOKENS))


async def test_the_gate_leaves_the_scheduler_nothing_to_take_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forty requests that each begin a page they hardly use, through a cache for about eight of them.

    What finished requests leave behind for others that begin alike gives way in time.
    """
    spare = paged_cache.spare_pages(paged_cache.CPU_BATCH_TOKENS, paged_cache.CPU_PAGE, 8)
    each = bytes_per_token(folder)
    monkeypatch.setattr(paged_cache, "usable_memory", lambda gpu: 1100 * 2048 + spare * paged_cache.CPU_PAGE * each)
    offloads: list[int] = []
    evictions: list[bool] = []
    evict = PagedAttentionCache.evict_cached_blocks

    def counted(cache: PagedAttentionCache) -> bool:
        evictions.append(evict(cache))
        return evictions[-1]

    monkeypatch.setattr(PagedAttentionCache, "evict_cached_blocks", counted)
    monkeypatch.setattr(OffloadingManager, "offload_requests", lambda self: offloads.append(1))
    engine = TransformersEngine(folder, context=128, slots=8)
    await engine.start()
    engine._eos.clear()  # every request runs to its limit
    assert 128 <= engine.gate.tokens < 8 * 128
    pool = manager_of(engine).batch_processor.cache.pool
    lowest = pool.num_free_sectors

    async def one(n: int) -> None:
        nonlocal lowest
        # The prompt's token and all drawn ones but the last are stored: one more than whole pages of 16.
        limit = 113 if n < 16 else draw.choice((49, 81, 113))
        async with engine.gate.enter(1 + limit):
            async for _ in engine.generate([n], Sampling(max_new_tokens=limit, temperature=1.0, seed=n)):
                lowest = min(lowest, pool.num_free_sectors)

    draw = random.Random(0)
    try:
        await asyncio.gather(*map(one, range(40)))
    finally:
        await engine.close()
    print(f"{engine.cache} Fewest free pages: {lowest}; kept pages gave way {sum(evictions)} times")
    assert lowest < spare + 8
    assert any(evictions)
    assert not offloads


async def test_the_cache_is_bounded_and_told(engine: TransformersEngine, folder: Path) -> None:
    assert (engine.gate.slots, engine.gate.tokens, engine.context) == (16, 16 * 512, 512)
    spare = paged_cache.spare_pages(paged_cache.CPU_BATCH_TOKENS, paged_cache.CPU_PAGE, 16)
    assert manager_of(engine).batch_processor.cache.num_blocks == 16 * 512 // paged_cache.CPU_PAGE + spare
    assert engine.cache.endswith("for 16 requests and 8192 tokens at once")
    assert "GiB" in engine.cache


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("context", [100, 1000, 4096])
@pytest.mark.parametrize("slots", [None, 1, 16, 64, 10_000])
async def test_pages_are_shared_out_so_that_a_whole_context_fits_or_nothing_does(
    gpu: bool, context: int, slots: int | None
) -> None:
    page, batch = (256, 1024) if gpu else (16, 256)
    whole, usual = -(-context // page), -(-min(context, paged_cache.USUAL_TOKENS) // page)
    for affordable in range(3000):
        given, pages = paged_cache.share_out(affordable, context, slots, gpu)
        fits = affordable >= whole + paged_cache.spare_pages(batch, page, 1) + paged_cache.DISCARDED_PAGES
        assert (pages >= whole) == fits
        if fits:
            assert pages + paged_cache.spare_pages(batch, page, given) + paged_cache.DISCARDED_PAGES <= affordable
            assert 1 <= given <= (slots or (64 if gpu else 16))
            assert slots or given == 1 or pages >= given * usual or not gpu
    assert given == (slots or (64 if gpu else 16)) or (slots == 10_000)


async def test_a_cache_that_cannot_hold_one_context_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged_cache, "usable_memory", lambda gpu: 100_000)
    with pytest.raises(ServiceError, match="memory_exceeded"):
        await TransformersEngine(folder).start()


async def test_fewer_slots_when_only_one_context_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = 512 // paged_cache.CPU_PAGE + 2 + paged_cache.spare_pages(256, paged_cache.CPU_PAGE, 1)
    usable = pages * paged_cache.CPU_PAGE * bytes_per_token(folder)
    monkeypatch.setattr(paged_cache, "usable_memory", lambda gpu: usable)
    engine = TransformersEngine(folder)
    await engine.start()
    try:
        assert (engine.gate.slots, engine.gate.tokens) == (1, 512)
        assert (await deltas(engine, PROMPTS[0], Sampling(max_new_tokens=400)))[-1].finish
    finally:
        await engine.close()


# Faults


@pytest.fixture
def broken_once(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Once the event is set, the next forward raises; those after it work."""
    trigger, forward = threading.Event(), engine._model.forward

    def broken(**batch: Any) -> Any:
        if trigger.is_set():
            trigger.clear()
            raise RuntimeError("cancelled by a cosmic ray")
        return forward(**batch)

    broken._supports_logits_to_keep = True  # type: ignore[attr-defined]
    monkeypatch.setattr(engine._model, "forward", broken)
    return trigger


async def test_a_fault_reaches_every_request_is_logged_and_leaves_the_engine_ready(
    engine: TransformersEngine, broken_once: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    before = await text(engine, PROMPTS[0], WARM)
    streams = [engine.generate(await ids_of(engine, prompt), Sampling(max_new_tokens=400)) for prompt in PROMPTS[:5]]
    await asyncio.gather(*map(anext, streams))
    began = time.perf_counter()
    broken_once.set()

    faults = await asyncio.gather(*map(drain, streams), return_exceptions=True)
    print(f"a fault reached all in {(time.perf_counter() - began) * 1000:.0f} ms")
    assert time.perf_counter() - began < 10
    assert all(isinstance(fault, ServiceError) and fault.code == "engine_failed" for fault in faults)
    assert not any("cosmic ray" in str(fault) for fault in faults)
    assert await text(engine, PROMPTS[0], WARM) == before
    assert await engine.healthy()
    records = [record for record in caplog.records if record.name == module.__name__]
    assert len(records) == 1
    assert records[0].levelno == logging.ERROR
    assert records[0].exc_info is not None
    assert "cosmic ray" in str(records[0].exc_info[1])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_dies_without_a_word_ends_the_wait(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = engine.generate(await ids_of(engine, PROMPTS[0]), Sampling(max_new_tokens=400))
    await anext(stream)

    def leave(**batch: Any) -> Any:
        raise SystemExit  # no Exception, so the library tells nobody

    with monkeypatch.context() as patch:
        patch.setattr(engine._model, "forward", leave)
        with pytest.raises(ServiceError, match="engine_failed"):
            await asyncio.wait_for(drain(stream), 5)
    assert await text(engine, PROMPTS[0], WARM)


async def test_a_request_that_the_manager_refuses_or_raises_on_fails_with_a_code(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        return None

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("cancelled")

    for fault in (refuse, fail):
        with monkeypatch.context() as patch:
            patch.setattr(manager_of(engine), "add_request", fault)
            with pytest.raises(ServiceError, match="engine_failed"):
                await deltas(engine, PROMPTS[0], WARM)
    assert not manager_of(engine).output_router.result_handlers


async def test_a_folder_without_a_model_is_refused_with_a_code(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="checkpoint_unusable"):
        await TransformersEngine(tmp_path).start()


async def test_closing_the_engine_ends_its_requests_and_its_thread(folder: Path) -> None:
    engine = TransformersEngine(folder, slots=2)
    assert not await engine.healthy()
    await engine.start()
    assert await engine.healthy()
    stream = engine.generate(await ids_of(engine, PROMPTS[0]), Sampling(max_new_tokens=400))
    await anext(stream)
    await engine.close()
    with pytest.raises(ServiceError, match="engine_failed"):
        await drain(stream)
    assert not await engine.healthy()
    with pytest.raises(ServiceError, match="engine_failed"):
        await deltas(engine, PROMPTS[0], WARM)


async def test_weights_are_loaded_beside_the_event_loop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, load = [], hf_model.load_model

    def recording(path: Path, dtype: str | None, device_map: str | None) -> Any:
        threads.append(threading.current_thread())
        return load(path, dtype, device_map)

    monkeypatch.setattr(module, "load_model", recording)
    engine = TransformersEngine(folder)
    await engine.start()
    await engine.close()
    assert threads
    assert threading.current_thread() not in threads


# Tokenizer


async def test_names_of_control_tokens_are_plain_text_unless_asked(tokenizer: HFTokenizer) -> None:
    written = f"a{EOS}b"
    plain = await tokenizer.encode(written, control=False)
    control = await tokenizer.encode(written, control=True)
    assert tokenizer.eos in control
    assert tokenizer.eos not in plain
    assert tokenizer.decode(plain) == written
    assert await tokenizer.encode(written, control=False) == plain  # the setting of one call doesn't leak
    assert (tokenizer.bos_text, tokenizer.eos_text) == (BOS, EOS)
    assert [await tokenizer.piece(token) for token in control] == ["a", EOS, "b"]
    assert await tokenizer.encode("", control=True) == []


async def test_deepseek_s_tokenizer_gives_the_recorded_ids_and_their_text_again(deepseek_tokenizer: Path) -> None:
    tokenizer = HFTokenizer(deepseek_tokenizer)
    assert (tokenizer.bos_text, tokenizer.eos_text) == (BOS, EOS)
    assert tokenizer.chat_template
    vectors = json.loads((deepseek_tokenizer / "vectors.json").read_text())
    assert len(vectors) > 40
    for vector in vectors:
        assert await tokenizer.encode(vector["text"], control=False) == vector["ids"]
        detokenizer = Detokenizer(tokenizer)
        assert "".join(map(detokenizer.step, vector["ids"])) == tokenizer.decode(vector["ids"]).rstrip("\ufffd")


def _changed(path: Path, **roles: Any) -> None:
    written = json.loads(path.read_text())
    path.write_text(json.dumps(written | roles))


@pytest.mark.parametrize(
    "roles",
    [
        {},
        {"add_bos_token": False},
        {"add_bos_token": True, "eos_token": None},
        {
            "bos_token": {"__type": "AddedToken", "content": BOS, "normalized": False},
            "eos_token": {"__type": "AddedToken", "content": EOS},
        },
        {"bos_token": None, "chat_template": "{{ 1 }}"},
        {"chat_template": [{"name": "tool_use", "template": "{{ 2 }}"}]},
    ],
)
@pytest.mark.parametrize("beside", [True, False])
async def test_roles_are_those_that_transformers_reads(
    folder: Path, tmp_path: Path, roles: dict[str, Any], beside: bool
) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(folder / name, tmp_path)
    if not beside:
        (tmp_path / "chat_template.jinja").unlink()
    _changed(tmp_path / "tokenizer_config.json", **roles)
    ours = HFTokenizer(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    adds_bos = theirs.bos_token_id is not None and theirs("").input_ids[:1] == [theirs.bos_token_id]
    assert ours.bos == (theirs.bos_token_id if adds_bos else None)
    assert (ours.bos_text, ours.eos, ours.eos_text) == (
        theirs.bos_token or "",
        theirs.eos_token_id,
        theirs.eos_token or "",
    )
    assert ours.chat_template == (theirs.chat_template if isinstance(theirs.chat_template, str) else None)


async def test_roles_that_no_tokenizer_config_names_are_config_json_s(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(folder / name, tmp_path)
    ours = HFTokenizer(tmp_path)
    assert ours.bos is not None
    assert (ours.bos_text, ours.eos_text) == (BOS, EOS)
    assert ours.chat_template is None


async def test_free_memory_on_a_cpu_is_what_the_system_can_give() -> None:
    assert 0 < paged_cache.usable_memory(False) < psutil.virtual_memory().total


async def test_another_version_of_transformers_is_refused_before_it_is_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = re.findall(r"^transformers==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert registry.TRANSFORMERS.package == ("transformers", *pins)
    monkeypatch.setattr("deepseek_math.installed.version", lambda name: "5.0.0")
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} was imported"))
    with pytest.raises(ServiceError, match=rf"needs transformers {pins[0]}, and 5\.0\.0 is installed"):
        registry.open_engine(folder, None, Settings())


async def test_accelerate_s_device_map_is_passed_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it places everything on the CPU; several GPUs were not at hand."""
    import transformers

    maps, load = [], transformers.AutoModelForCausalLM.from_pretrained

    def recording(*arguments: Any, **options: Any) -> Any:
        maps.append(options["device_map"])
        return load(*arguments, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", recording)
    for device_map in ("auto", None):
        engine = TransformersEngine(folder, device_map=device_map)
        await engine.start()
        await engine.close()
    assert maps[0] == "auto"
    assert maps[1] in ("cpu", "cuda")


async def test_a_gpu_without_flash_attention_is_told_loudly_what_it_lacks_and_costs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """This machine has neither a GPU nor the package: what is said here is what an image without it says."""
    for dtype, lack in (
        (torch.bfloat16, "the package flash_attn is not installed"),
        (torch.float32, "none for float32"),
    ):
        caplog.clear()
        assert hf_model.attention("cuda", dtype) == "sdpa"
        assert "NO FLASH ATTENTION" in caplog.text
        assert lack in caplog.text
        assert "64 times as much with 64 streams" in caplog.text
    caplog.clear()
    assert hf_model.attention("cpu", torch.float32) == "sdpa"
    assert not caplog.text
