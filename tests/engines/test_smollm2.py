"""What rounding could change, on a real model in 4 bits (98 MB from the package registry).

A random model in float16 shows the same in `test_engines.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deepseek_math.checkpoints import Checkpoint, Local
from deepseek_math.engines.llama_cpp.engine import LlamaCppEngine
from deepseek_math.engines.llama_cpp.gguf_header import read_header
from deepseek_math.engines.protocol import Engine
from deepseek_math.programs.sandbox.pool import Sandboxes
from deepseek_math.service import Service
from tests.engines.test_engines import QUESTIONS, TALK, ids_of, text
from tests.support.streams import deltas

pytestmark = [pytest.mark.registry, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(smollm2: Path) -> AsyncIterator[Engine]:
    running: Any = LlamaCppEngine(smollm2, context=1024, slots=16)
    await running.start()
    yield running
    await running.close()


async def test_same_seed_gives_the_same_text_alone_or_beside_fifteen_others(engine: Engine) -> None:
    jobs = [(question, replace(TALK, seed=seed, max_new_tokens=8)) for seed in (0, 5) for question in QUESTIONS]
    alone = [await text(engine, *job) for job in jobs[:4]]
    assert (await asyncio.gather(*(text(engine, *job) for job in jobs)))[:4] == alone


async def test_a_long_prompt_is_read_the_same_beside_others(engine: Engine) -> None:
    """Over 512 tokens ggml would switch to other attention kernels."""
    long = " ".join(QUESTIONS * 7)
    assert 600 < len(await ids_of(engine, long)) < 1000
    short = replace(TALK, max_new_tokens=8)
    alone = await text(engine, long, short)
    beside = await asyncio.gather(text(engine, long, short), *(text(engine, other, short) for other in QUESTIONS[:3]))
    assert beside[0] == alone


async def test_no_character_is_cut(engine: Engine) -> None:
    """Its vocabulary cuts emoji and rare characters into bytes."""
    prompt = await ids_of(engine, "🙂🙃😀😃 龘龘龘 🙂🙃😀😃 龘龘龘 🙂🙃")
    for length in (1, 2, 3, 5, 7):
        cut = await deltas(engine, prompt, replace(TALK, max_new_tokens=length, temperature=0.0))
        assert "\ufffd" not in "".join(delta.text for delta in cut)
        assert cut[-1].tokens <= length


async def test_a_sample_that_is_ended_for_repeating_itself_would_have_gone_on_to_its_limit(engine: Engine) -> None:
    """And would have had the same answer there: the same seed alone says so."""
    service = Service(Checkpoint("smollm2", Local(Path()), "none"), engine, Sandboxes())
    inputs: dict[str, Any] = {"prompt": "Yes, yes, yes, yes, yes, yes, yes, yes, yes,", "mode": "raw"}
    inputs |= {"seed": 0, "temperature": 0.3, "max_new_tokens": 350}
    vote: dict[str, Any] = {}
    alone: dict[str, Any] = {}
    ended = [piece async for piece in service.complete(inputs | {"samples": 2}, vote.__setitem__)]
    whole = [piece async for piece in service.complete(inputs, alone.__setitem__)]
    assert vote["samples_endless"] == 2
    assert "".join(whole).startswith("".join(ended))
    assert (alone["finish_reason"], alone["completion_tokens"]) == ("length", 350)
    assert alone["repetition"]["length"] == vote["repetition"]["length"]
    assert alone.get("answer") == vote.get("answer")


async def test_the_header_is_read_as_the_format_says(smollm2: Path) -> None:
    header = read_header(smollm2)
    assert (header.context, header.vocabulary) == (8192, 49152)
    assert (header.bos, header.bos_text, header.eos_text) == (1, "<|im_start|>", "<|im_end|>")
    assert not header.splits_unsaid
    assert header.kv_values_per_token == 30 * 2 * 3 * 64
    assert header.chat_template
