"""`dsm openai`: OpenAI's API on this machine, before a service that is started or runs already."""

import argparse
from collections.abc import Sequence

import uvicorn

from deepseek_math.door.app import app
from deepseek_math.door.door_settings import DoorSettings
from deepseek_math.door.upstream import Upstream
from deepseek_math.local.command import HELP_URL, MODEL, run, say
from deepseek_math.local.server import LocalServer


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm openai", description=f"Serves OpenAI's API on 127.0.0.1, without Docker. {MODEL}"
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--url", help=HELP_URL)
    options = parser.parse_args(arguments)
    return run(lambda: _openai(options.port, options.url))


def _openai(port: int, url: str | None) -> int:
    settings = DoorSettings.read()
    if url:
        return _serve(port, url.rstrip("/"), settings)
    with LocalServer(say=say) as server:
        return _serve(port, server.url, settings)


def _serve(port: int, url: str, settings: DoorSettings) -> int:
    say(f"OpenAI's API on http://127.0.0.1:{port}/v1, before {url}; Ctrl-C stops it")
    uvicorn.run(app(Upstream(url), settings), host="127.0.0.1", port=port, log_level="warning")
    return 0
