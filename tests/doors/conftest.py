"""What tests with others' programs share: the door as its command starts it.

`make test-doors` runs them; `make test` leaves this folder out.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from deepseek_math.local.server import LocalServer, free_port
from tests.conftest import ONE_THREAD
from tests.doors.python.checks import SAID
from tests.support.random_model import make_random_model


@contextmanager
def door(service: str, command: str = "openai") -> Iterator[str]:
    """`dsm openai` before a service that runs; its address, without a path."""
    url = f"http://127.0.0.1:{free_port()}"
    arguments = [command, "--port", url.rpartition(":")[2], "--url", service]
    process = subprocess.Popen([sys.executable, "-m", "deepseek_math", *arguments])
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{url}/health", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, f"the command ended with status {process.returncode}"
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def demo_door(demo: LocalServer) -> Iterator[str]:
    with door(demo.url) as url:
        yield url


@pytest.fixture(scope="session")
def chinese_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Before a service with one place, whose model says SAID until its tokens are used up."""
    model = make_random_model(tmp_path_factory.mktemp("chinese") / "chinese.gguf", SAID)
    with (
        LocalServer(environment={"CHECKPOINT": str(model), **ONE_THREAD}, concurrency=1) as server,
        door(server.url) as url,
    ):
        yield url
