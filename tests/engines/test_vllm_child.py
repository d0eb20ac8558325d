"""vLLM as a child of the service: its start, its deaths, its end. A stand-in takes its place (`support/vllm_stand_in`);
what a real vLLM does is asked in `tests/vllm`."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deepseek_math import container, logs, restarting
from deepseek_math.engines.registry import open_engine, require_packages
from deepseek_math.engines.vllm import child as child_module
from deepseek_math.engines.vllm import engine as module
from deepseek_math.engines.vllm import keeper
from deepseek_math.engines.vllm.engine import VLLMEngine
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.sampling import Sampling
from deepseek_math.settings import Settings
from tests.support.streams import deltas
from tests.support.tiny_llama import make_tiny_llama
from tests.support.vllm_stand_in import lives, make_environment, starts

PROMPT = [5, 6, 7]
SHORT, LONG = Sampling(max_new_tokens=3), Sampling(max_new_tokens=500)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where it is said that an engine is brought back
    monkeypatch.setattr(module, "LOOK", 0.05)
    folder = tmp_path / "vllm"
    folder.mkdir()
    yield make_environment(folder)
    assert not [number for pair in starts(folder) for number in pair if lives(number)]


@asynccontextmanager
async def started(checkpoint: Path, environment: Path, **options: Any) -> AsyncIterator[VLLMEngine]:
    engine = VLLMEngine(checkpoint, vllm_environment=environment, **options)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  # another process has no event of ours
            await asyncio.sleep(0.01)


async def well(engine: VLLMEngine) -> None:
    async with asyncio.timeout(60):
        while not await engine.healthy():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# The start


async def test_it_is_started_waited_for_with_its_log_and_ended(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with started(checkpoint, environment, slots=4, vllm_args=["--seed", "7"]) as engine:
        assert await engine.healthy()
        assert (await deltas(engine, PROMPT, SHORT))[-1].tokens == 3
        assert engine.settings == "context 512, float32, vLLM 9.9, --seed, 7"
        assert (engine.gate.slots, engine.gate.tokens) == (4, 9000)
        assert engine.cache == "up to 4 requests at once, KV cache of 9000 tokens"
    lines = caplog.text
    assert "vLLM 9.9 on 0 GPUs, tensor parallel 1" in lines
    assert "vLLM: INFO loading" in lines
    assert "vLLM: INFO loaded: 100 %" in lines
    assert "--max-model-len 512 --max-num-seqs 4 --dtype float32 --tensor-parallel-size 1" in lines


async def test_a_long_wait_is_told(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "WAITING", 0.1)
    (environment / "wait").write_text("0.5")
    async with started(checkpoint, environment):
        assert "waiting for vLLM, 0 s so far" in caplog.text


async def test_a_start_that_fails_gives_vllm_s_own_reason_and_leaves_nothing(
    checkpoint: Path, environment: Path
) -> None:
    (environment / "fail").touch()
    with pytest.raises(ServiceError) as failed:
        async with started(checkpoint, environment):
            pass
    said = "engine_not_started: vLLM did not start (status 1: ValueError: No room for 512 tokens)."
    assert str(failed.value) == said


async def test_one_that_ends_amid_the_first_request_is_not_waited_for(checkpoint: Path, environment: Path) -> None:
    (environment / "brittle").touch()
    said = r"engine_not_started: vLLM ended amid its first request \(status 3: RuntimeError: CUDA error"
    with pytest.raises(ServiceError, match=said):
        async with started(checkpoint, environment):
            pass


async def test_a_context_beyond_the_checkpoint_s_is_refused_before_it_is_started(
    checkpoint: Path, environment: Path
) -> None:
    with pytest.raises(ServiceError, match="setting_invalid: CONTEXT is 1000 tokens and the checkpoint can hold 512"):
        async with started(checkpoint, environment, context=1000):
            pass
    assert starts(environment) == []


async def test_several_gpus_with_docker_s_shared_memory_are_told_what_mends_it(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(container, "shared_memory", lambda: 64 << 20)
    async with started(checkpoint, environment):
        assert "/dev/shm" not in caplog.text
    (environment / "gpus").write_text("2")
    async with started(checkpoint, environment):
        assert "/dev/shm has 64 MiB, too little for several GPUs. Give it more: docker run --shm-size 1g" in caplog.text
        assert "--dtype auto --tensor-parallel-size 2" in caplog.text
    (environment / "fail").touch()
    with pytest.raises(ServiceError, match=r"No room for 512 tokens\). /dev/shm has 64 MiB"):
        async with started(checkpoint, environment):
            pass


async def test_its_lines_are_kept_out_of_a_log_without_words_once_it_serves(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    without = logs.WithoutWords()
    caplog.handler.addFilter(without)
    try:
        async with started(checkpoint, environment) as engine:
            assert "vLLM: INFO loading" in caplog.text
            engine._heard("the client said 12 + 30")
    finally:
        caplog.handler.removeFilter(without)
    assert "12 + 30" not in caplog.text


def test_an_environment_that_is_not_there_is_told_before_anything_is_downloaded(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        settings = Settings(engine="vllm", vllm_environment=folder)
        with pytest.raises(ServiceError, match="package_missing: ENGINE=vllm looks for vLLM in the environment"):
            require_packages("rl", settings, ["model.safetensors"])


async def test_an_environment_without_vllm_says_what_it_lacks(checkpoint: Path, environment: Path) -> None:
    (environment / "packages" / "torch.py").write_text("raise ImportError('libcudart.so.12 is missing')")
    with pytest.raises(ServiceError, match="package_missing: vLLM can't be used with .*libcudart.so.12 is missing.$"):
        async with started(checkpoint, environment):
            pass


def test_engine_names_what_runs_safetensors_and_nothing_else(checkpoint: Path, environment: Path) -> None:
    settings = Settings(engine="vllm", vllm_environment=environment)
    assert open_engine(checkpoint, None, settings).name == "vllm"
    with pytest.raises(ServiceError, match="setting_invalid: ENGINE='vllm' is for safetensors, and rl.gguf is a GGUF"):
        open_engine(ROOT / "weights/tiny/rl.gguf", None, settings)


# Deaths


async def test_killed_amid_eight_streams_it_fails_them_and_comes_back(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (environment / "wait").write_text("0.5")
    async with started(checkpoint, environment) as engine:
        streams = [engine.generate(PROMPT, LONG) for _ in range(8)]
        for each in streams:
            async for delta in each:
                if delta.tokens >= 2:
                    break
        ((server, child),) = starts(environment)
        os.kill(server, signal.SIGKILL)

        async def rest(stream: Any) -> None:
            async for _ in stream:
                pass

        ends = await asyncio.gather(*map(rest, streams), return_exceptions=True)
        assert [end.code for end in ends if isinstance(end, ServiceError)] == ["engine_failed"] * 8
        assert not await engine.healthy()
        await until(restarting.under_way)
        with pytest.raises(ServiceError, match="engine_failed: vLLM is being started again"):
            await deltas(engine, PROMPT, SHORT)
        assert not lives(child)
        await well(engine)
        assert (await deltas(engine, PROMPT, SHORT))[-1].tokens == 3
        assert not restarting.under_way()
        assert len(starts(environment)) == 2
    assert "vLLM has ended (SIGKILL)." in caplog.text
    assert "vLLM is back after" in caplog.text


async def test_what_dies_twice_in_an_hour_stays_dead_and_later_deaths_are_counted_anew(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(checkpoint, environment) as engine:
        monkeypatch.setattr(module, "ONCE_IN", 0.0)
        for deaths in (1, 2):
            os.kill(starts(environment)[-1][0], signal.SIGKILL)
            await until(lambda: len(starts(environment)) > deaths)  # noqa: B023
            await well(engine)
        monkeypatch.setattr(module, "ONCE_IN", 3600.0)
        os.kill(starts(environment)[-1][0], signal.SIGKILL)
        await until(lambda: "twice within 60 minutes: unhealthy for good" in caplog.text)
        assert not await engine.healthy()
        assert not restarting.under_way()
        with pytest.raises(ServiceError, match="engine_failed: vLLM has ended for good"):
            await deltas(engine, PROMPT, SHORT)
        assert len(starts(environment)) == 3


async def test_what_can_not_be_started_again_stays_dead(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(checkpoint, environment) as engine:
        (environment / "fail").touch()
        os.kill(starts(environment)[-1][0], signal.SIGKILL)
        await until(lambda: "could not be started again: unhealthy for good" in caplog.text)
        assert "ValueError: No room for 512 tokens)." in caplog.text
        assert not await engine.healthy()


@pytest.mark.parametrize(("status", "said"), [(0, "status 0"), (1, "status 1"), (137, "SIGKILL"), (255, "status 255")])
def test_an_end_is_called_by_its_signal_where_there_was_one(status: int, said: str) -> None:
    assert child_module._name(status) == said


async def test_a_keeper_that_is_killed_takes_vllm_along(
    checkpoint: Path, environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(checkpoint, environment) as engine:
        ((server, _),) = starts(environment)
        assert engine._child is not None
        os.kill(engine._child._keeper.pid, signal.SIGKILL)
        await until(lambda: len(starts(environment)) == 2)
        assert not lives(server)
        assert "vLLM has ended (SIGKILL)." in caplog.text
        os.kill(starts(environment)[0][1], signal.SIGKILL)  # in a session of its own, which real engines are not in


# The end of the service


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_service_however_it_ends(
    number: signal.Signals, checkpoint: Path, environment: Path
) -> None:
    program = f"""
import asyncio
from pathlib import Path
from deepseek_math.engines.vllm.engine import VLLMEngine
async def main():
    engine = VLLMEngine(Path({str(checkpoint)!r}), vllm_environment=Path({str(environment)!r}))
    await engine.start()
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        ((server, engine),) = starts(environment)
        assert lives(server)
        assert lives(engine)
        service.send_signal(number)
    deadline = time.monotonic() + 60
    while (lives(server) or lives(engine)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives(server)
    assert not lives(engine)


def test_a_command_that_will_not_end_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    change = f"import runpy, sys; sys.argv = ['keeper', {sys.executable!r}, '-c', {deaf!r}]; "
    change += f"import psutil; k = runpy.run_path({keeper.__file__!r}); k['main'].__globals__['GRACE'] = 0.2; "
    change += "sys.exit(k['main'](sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", change], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as kept:
        assert kept.stdout is not None
        assert kept.stdin is not None
        assert kept.stdout.readline() == "deaf\n"
        kept.stdin.close()
        assert kept.wait(60) == 128 + signal.SIGKILL
