"""A page on a real port, before a real service or one that says what a test wants, and a headless Chromium."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from deepseek_math.door.upstream import ServedModel, Upstream
from deepseek_math.local.client import Event
from deepseek_math.local.server import LocalServer
from deepseek_math.page.command import page
from tests.browser.browser import CHROMIUM, DRIVER, Browser


class Scripted(Upstream):
    """A service that answers with `pieces`. `go` lets it say the next one; without it all come at once."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.pieces: list[str] = []
        self.metrics: dict[str, Any] = {}
        self.go: threading.Semaphore | None = None
        self.asked: list[Mapping[str, Any]] = []
        self.left = 0  # answers that their reader broke off

    async def model(self) -> ServedModel:
        return ServedModel("scripted", None)

    async def draw(self, inputs: Mapping[str, Any], written: Mapping[str, str]) -> AsyncGenerator[Event, None]:
        self.asked.append(inputs)
        ended = False
        try:
            for piece in self.pieces:
                if self.go:
                    await asyncio.to_thread(self.go.acquire, timeout=60)
                yield Event("output", {"chunk": piece}, 0.0)
            ended = True
            yield Event("completed", {"status": "succeeded", "metrics": {"seed": 5, **self.metrics}}, 0.0)
        finally:
            self.left += not ended


@contextmanager
def serving(application: Starlette) -> Iterator[str]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(30.0)
        listening.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM or not DRIVER:
        pytest.exit(
            "Left out: there is no Chromium here, or no chromedriver. Debian: apt install chromium chromium-driver", 75
        )
    with Browser() as running:
        yield running


@pytest.fixture(scope="session")
def scripted_site() -> Iterator[tuple[Scripted, str]]:
    upstream = Scripted()
    with serving(page(upstream)) as url:
        yield upstream, url


@pytest.fixture
def script(scripted_site: tuple[Scripted, str]) -> Scripted:
    """As new: it says nothing."""
    upstream, _ = scripted_site
    upstream.pieces, upstream.metrics, upstream.go, upstream.asked, upstream.left = [], {}, None, [], 0
    return upstream


@pytest.fixture
def site(scripted_site: tuple[Scripted, str]) -> str:
    return scripted_site[1]


@pytest.fixture(scope="session")
def demo_site(demo: LocalServer) -> Iterator[str]:
    demo.wait_until_ready()
    with serving(page(Upstream(demo.url))) as url:
        yield url
