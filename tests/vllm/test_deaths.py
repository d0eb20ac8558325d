"""A real vLLM that is killed, or whose engine is, comes back; nothing of it outlives its service.

It is in the environment that VLLM_ENVIRONMENT names: `tests/vllm/environment` makes it. What it promises as an engine
is asked in `tests/engines/test_engines.py`.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from deepseek_math.engines.vllm import engine as module
from deepseek_math.engines.vllm.engine import VLLMEngine
from deepseek_math.errors import ServiceError
from deepseek_math.local.client import stream
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from deepseek_math.sampling import Sampling
from tests.support.streams import chat, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARGUMENTS = ("--enforce-eager",)  # nothing is compiled at a start
CHECKPOINT = ROOT / "weights" / "tiny" / "rl"
LONG = Sampling(max_new_tokens=900, temperature=2.0, top_p=1.0)
QUESTION = "What is 12 + 30?"


@pytest.fixture(scope="session")
def environment() -> Path:
    return Path(os.environ["VLLM_ENVIRONMENT"])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(environment: Path) -> AsyncIterator[VLLMEngine]:
    engine = VLLMEngine(CHECKPOINT, 1024, 16, vllm_args=ARGUMENTS, vllm_environment=environment)
    await engine.start()
    yield engine
    await engine.close()


def family(of: int) -> list[psutil.Process]:
    """The processes that were started by process `of`, and by those in turn."""
    return psutil.Process(of).children(recursive=True)


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("killed", ["server", "engine"])
async def test_killed_amid_eight_streams_it_fails_them_and_comes_back(
    killed: str, engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "ONCE_IN", 0.0)
    prompt = await chat(engine, QUESTION)
    expected = await text_of(engine, prompt, Sampling(max_new_tokens=64))
    assert "42" in expected
    streams = [engine.generate(prompt, LONG) for _ in range(8)]
    for each in streams:
        async for delta in each:
            if delta.tokens >= 3:
                break
    assert engine._child is not None
    server, *others = family(engine._child._keeper.pid)
    assert len(others) >= 2
    victim = server if killed == "server" else next(each for each in others if "EngineCore" in _title(each))
    os.kill(victim.pid, signal.SIGKILL)

    async def rest(stream: Any) -> None:
        async for _ in stream:
            pass

    ends = await asyncio.gather(*map(rest, streams), return_exceptions=True)
    assert [end.code for end in ends if isinstance(end, ServiceError)] == ["engine_failed"] * 8, ends
    assert not await engine.healthy()
    async with asyncio.timeout(600):
        while not await engine.healthy():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert left([server, *others]) == []
    assert await text_of(engine, prompt, Sampling(max_new_tokens=64)) == expected


def _title(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def ask(server: LocalServer, **inputs: Any) -> tuple[str, dict[str, Any]]:
    events = list(stream(server.url, {"prompt": QUESTION} | inputs))
    assert events[-1].data["status"] == "succeeded", events[-1].data
    return "".join(event.data["chunk"] for event in events if event.kind == "output"), events[-1].data["metrics"]


async def test_the_service_is_the_same_on_it_and_leaves_nothing_when_it_is_killed(
    environment: Path, tmp_path: Path
) -> None:
    """Greedy, stop strings, seeds, votes and programs through Cog; then SIGKILL amid a stream."""
    variables = {"CHECKPOINT": str(CHECKPOINT), "ENGINE": "vllm", "VLLM_ENVIRONMENT": str(environment)}
    variables |= {"VLLM_ARGS": " ".join(ARGUMENTS), "CONTEXT": "2048"}
    with LocalServer(environment=variables) as server:
        whole, metrics = await asyncio.to_thread(ask, server, mode="chat", max_new_tokens=200)
        assert (metrics["answer"], metrics["engine"], metrics["finish_reason"]) == ("42", "vllm", "stop")
        cut, metrics = await asyncio.to_thread(ask, server, mode="chat", max_new_tokens=200, stop=["answer is"])
        assert (cut, metrics["finish_reason"]) == (whole.partition("answer is")[0], "stop_string")
        warm = {"mode": "chat", "temperature": 1.0, "max_new_tokens": 200, "seed": 3}
        assert (await asyncio.to_thread(ask, server, **warm))[0] == (await asyncio.to_thread(ask, server, **warm))[0]
        _, metrics = await asyncio.to_thread(ask, server, mode="chat", samples=8, max_new_tokens=200, seed=1)
        assert metrics["answer"] == "42"
        _, metrics = await asyncio.to_thread(ask, server, prompt="What is 2/3 + 1/2?", mode="tool", max_new_tokens=600)
        assert metrics["tool_rounds"] >= 1
        assert metrics["answer"] == "\\frac{7}{6}"
        assert server.process is not None
        everything = family(server.process.pid)
        assert any("EngineCore" in _title(each) for each in everything)
        for each in stream(server.url, {"prompt": QUESTION, "mode": "chat", "temperature": 2.0, "max_new_tokens": 900}):
            if each.kind == "output":
                break
        os.killpg(server.process.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while left(everything):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
