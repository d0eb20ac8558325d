"""`dsm page`: the page in the browser, and OpenAI's API beside it, before a service started here or running already."""

import argparse
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette

from deepseek_math.answers.judging import judge
from deepseek_math.door.app import app
from deepseek_math.door.command import server_of
from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.door.upstream import Upstream
from deepseek_math.errors import ServiceError
from deepseek_math.local.command import HELP_URL, MODEL, run
from deepseek_math.local.server import LocalServer, require_free
from deepseek_math.page.llama_page import LlamaPage
from deepseek_math.page.site import Site
from deepseek_math.terminal import say


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm page", description=f"Shows solutions in the browser, with their mathematics set. {MODEL}"
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--url", help=HELP_URL)
    parser.add_argument("--no-browser", action="store_true", help="open none, and say the address alone")
    options = parser.parse_args(arguments)
    return run(lambda: _page(options.port, options.url, not options.no_browser))


def _page(port: int, url: str | None, browser: bool) -> int:
    settings = DoorSettings.read()
    if settings.api_key:
        raise ServiceError(
            "setting_invalid", "API_KEY is set, and the page has no place for a key. Unset it, or start dsm openai."
        )
    require_free(port, "dsm page --port 8001")
    if url:
        return _serve(page(Upstream(url.rstrip("/")), settings), port, browser)
    with LocalServer(say=say) as server:
        return _serve(page(Upstream(server.url), settings), port, browser)


def _serve(application: Starlette, port: int, browser: bool) -> int:
    address = f"http://127.0.0.1:{port}/"
    say(f"the page is at {address} and OpenAI's API at {address}v1; Ctrl-C stops both")
    server = server_of(application, port)
    if browser:
        threading.Thread(target=_open, args=(server, address), daemon=True).start()
    server.run()
    return 0


def _open(server: uvicorn.Server, address: str) -> None:
    while not server.started:
        time.sleep(0.05)
    webbrowser.open(address)


def page(upstream: Upstream, settings: DoorSettings | None = None) -> Starlette:
    """The door, with the page at `/` and llama.cpp's at `/chat`."""
    application = app(upstream, settings)
    routes = application.router.routes
    routes[:0] = [*Site(upstream).routes(), LlamaPage(upstream, list(routes)).route()]
    of_the_door = application.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Starlette) -> AsyncIterator[None]:
        async with of_the_door(running):
            yield
            await judge().close()  # it compares answers with those of readers

    application.router.lifespan_context = lifespan
    return application
