"""The service with a vLLM of its own, through Cog: what clients, probes and the machine see of its death."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_math import restarting
from deepseek_math.local.client import stream
from deepseek_math.local.server import LocalServer
from tests.support.tiny_llama import make_tiny_llama
from tests.support.vllm_stand_in import lives, make_environment, starts


def wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_its_vllm_dies_and_is_back_and_nothing_is_left_of_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = make_tiny_llama(tmp_path / "checkpoint")
    folder = tmp_path / "vllm"
    folder.mkdir()
    make_environment(folder)
    (folder / "wait").write_text("1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment = {"CHECKPOINT": str(checkpoint), "ENGINE": "vllm", "VLLM_ENVIRONMENT": str(folder)}
    environment |= {"TMPDIR": str(tmp_path), "VLLM_ARGS": "--seed 7"}
    with LocalServer(environment=environment) as server:

        def ask(tokens: int) -> dict[str, object]:
            *_, last = stream(server.url, {"prompt": "Hi", "mode": "raw", "max_new_tokens": tokens})
            return last.data

        done = ask(3)
        assert done["status"] == "succeeded"
        metrics = done["metrics"]
        assert isinstance(metrics, dict)
        assert (metrics["engine"], metrics["slots"]) == ("vllm", 64)
        assert metrics["engine_settings"] == "context 512, float32, vLLM 9.9, --seed, 7"
        ends: list[dict[str, object]] = []
        asking = [threading.Thread(target=lambda: ends.append(ask(500))) for _ in range(4)]
        for each in asking:
            each.start()
        time.sleep(1.0)
        os.kill(starts(folder)[0][0], signal.SIGKILL)
        for each in asking:
            each.join()
        assert [end["status"] for end in ends] == ["failed"] * 4
        assert all("engine_failed: " in str(end["error"]) for end in ends)
        wait(lambda: server.health()["status"] == "UNHEALTHY")
        wait(restarting.under_way)
        wait(lambda: server.health()["status"] == "READY")
        assert not restarting.under_way()
        assert ask(3)["status"] == "succeeded"
        log = server.log.read_text()
        assert "vLLM: INFO loading" in log
        assert "loaded on vllm: context 512 tokens, up to 64 requests at once, KV cache of 9000 tokens" in log
    numbers = [number for pair in starts(folder) for number in pair]
    assert len(numbers) == 4
    wait(lambda: not any(map(lives, numbers)))
