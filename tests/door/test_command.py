"""`dsm openai` as a process: it starts before a service that runs, refuses what can't be, and ends in order."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from deepseek_math.local.server import LocalServer, free_port
from deepseek_math.paths import ROOT

COMMAND = [sys.executable, "-m", "deepseek_math", "openai"]


def started(port: int, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "--port", str(port), *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen[str], address: str) -> httpx.Response:
    """What it answers, once it does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return httpx.get(address, trust_env=False)
        except httpx.ConnectError:
            time.sleep(0.1)
    raise AssertionError(process.communicate(timeout=10))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_before_a_service_that_runs_until_it_is_stopped(demo: LocalServer, number: signal.Signals) -> None:
    port = free_port()
    process = started(port, "--url", f"{demo.url}/", API_KEY="secret")
    try:
        assert answer(process, f"http://127.0.0.1:{port}/v1/models").status_code == 401
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (128 + number, -number)
    assert f"OpenAI's API on http://127.0.0.1:{port}/v1" in said
    assert "Traceback" not in said
    assert demo.health()["status"] == "READY"


@pytest.mark.parametrize(
    ("environment", "said"),
    [({}, "can't be served on"), ({"CORS_ORIGINS": "localhost"}, "setting_invalid: CORS_ORIGINS holds 'localhost'")],
)
def test_what_can_not_be_is_said_in_a_sentence_before_a_checkpoint_is_loaded(
    environment: dict[str, str], said: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = started(taken.getsockname()[1], **environment)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said in told
    assert len(told.splitlines()) == 1
