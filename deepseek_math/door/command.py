"""`dsm openai`: OpenAI's API on this machine, before a service that is started for it or runs already."""

import argparse
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette

from deepseek_math.door.app import app
from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.door.replicate import upstream
from deepseek_math.local.command import HELP_URL, MODEL, run
from deepseek_math.local.server import LocalServer, require_free
from deepseek_math.terminal import say

KEEP_ALIVE_SECONDS = 75  # over what clients keep idle connections, so that none is closed as a request is sent on it
STOP_SECONDS = 5  # for streams that are open when the door is stopped


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm openai", description=f"Serves OpenAI's API on 127.0.0.1, without Docker. {MODEL}"
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; 0.0.0.0 in a container")
    parser.add_argument("--url", help=f"{HELP_URL}; replicate:owner/name is a model at Replicate")
    options = parser.parse_args(arguments)
    return run(lambda: _openai(options.host, options.port, options.url))


def _openai(host: str, port: int, url: str | None) -> int:
    settings = DoorSettings.read()
    require_free(port, "dsm openai --port 8001")
    if url:
        return _serve(host, port, url, settings)
    with LocalServer(say=say) as server:
        return _serve(host, port, server.url, settings)


def _serve(host: str, port: int, url: str, settings: DoorSettings) -> int:
    behind = upstream(url)
    say(f"OpenAI's API on http://{host}:{port}/v1, before {url}; Ctrl-C stops it")
    server_of(app(behind, settings), port, host).run()
    return 0


def server_of(application: Starlette, port: int, host: str = "127.0.0.1") -> uvicorn.Server:
    """NOTE: `uvicorn.run` would hide that a signal ended it."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)
