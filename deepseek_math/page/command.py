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
from deepseek_math.door.upstream import Upstream
from deepseek_math.local.command import HELP_URL, MODEL, run, say
from deepseek_math.local.server import LocalServer
from deepseek_math.page.site import Site

GRACE = 3  # seconds that open streams have once Ctrl-C was pressed


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
    if url:
        return _serve(port, url.rstrip("/"), browser)
    with LocalServer(say=say) as server:
        return _serve(port, server.url, browser)


def _serve(port: int, url: str, browser: bool) -> int:
    address = f"http://127.0.0.1:{port}/"
    say(f"the page is at {address}, OpenAI's API at {address}v1; Ctrl-C stops both")
    config = uvicorn.Config(
        page(Upstream(url)), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=GRACE
    )
    server = uvicorn.Server(config)
    if browser:
        threading.Thread(target=_open, args=(server, address), daemon=True).start()
    server.run()
    return 0


def _open(server: uvicorn.Server, address: str) -> None:
    while not server.started:
        time.sleep(0.05)
    webbrowser.open(address)


def page(upstream: Upstream) -> Starlette:
    """The door with the page at `/`."""
    application = app(upstream)
    application.router.routes[:0] = Site(upstream).routes()
    doors = application.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Starlette) -> AsyncIterator[None]:
        async with doors(running):
            yield
            await judge().close()

    application.router.lifespan_context = lifespan
    return application
