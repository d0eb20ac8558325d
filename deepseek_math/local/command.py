"""`dsm predict` and `dsm serve`: one prediction in the terminal, and Cog's HTTP API on this machine."""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx

from deepseek_math.errors import ServiceError
from deepseek_math.local import client
from deepseek_math.local.server import LocalServer, ServerFailed
from deepseek_math.local.typed_inputs import EXAMPLE, InputsMistyped, inputs_of, words
from deepseek_math.signals import run_until_stopped
from deepseek_math.terminal import printable, say

HELP_URL = "a running service, such as http://127.0.0.1:5000; without it, one is started"
HELP_INPUTS = "more of these, in one text"
MODEL = "The variable CHECKPOINT names the model: rl (13.8 GB) when unset; demo needs no download."


def predict(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm predict",
        description=f"Answers one prompt: streams its completion, then prints its metrics. {MODEL}",
        epilog="A prompt that begins with a dash comes after --: dsm predict -- '-x^2 = 4?'",
    )
    parser.add_argument("prompt", nargs="?", help="the question, in quotes")
    parser.add_argument("settings", nargs="*", metavar="name=value", help="other inputs, such as seed=1")
    parser.add_argument("--inputs", type=words_option, default=[], metavar="TEXT", help=HELP_INPUTS)
    parser.add_argument("--url", help=HELP_URL)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"there is no option {unknown[0]}. A question that begins with a dash comes after --. {EXAMPLE}")
    if options.prompt is None:
        parser.error(f"there is no question. {EXAMPLE}")
    return run(lambda: _predict(options.prompt, options.inputs + options.settings, options.url))


def serve(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="dsm serve",
        description=f"Serves Cog's HTTP API on 127.0.0.1, without Docker. {MODEL}",
    )
    parser.add_argument("--port", type=int, default=5000, help="default: 5000")
    options = parser.parse_args(arguments)
    return run(lambda: _serve(options.port))


def words_option(text: str) -> list[str]:
    """`name=value` pairs in one text, as an option of a command."""
    try:
        return words(text)
    except InputsMistyped as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(command: Callable[[], int]) -> int:
    """Runs a command to its exit status; what it can't do is said in a sentence on stderr."""
    try:
        return run_until_stopped(command, "stopped")
    except (InputsMistyped, ServerFailed, ServiceError, client.PredictionRefused, httpx.HTTPError) as error:
        say(str(error))
        return 1


def _predict(prompt: str, settings: list[str], url: str | None) -> int:
    inputs = inputs_of(prompt, settings, os.environ)  # before a checkpoint is loaded for it
    say(f"question: {printable(prompt)}")
    if url:
        url = url.rstrip("/")
        with reaching(url):
            return client.show(url, inputs)
    with LocalServer(say=say) as server:
        say("")
        status = client.show(server.url, inputs)
        if status:
            server.keep_log = True
            say(f"the server's log: {server.log}")
        return status


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Says in a sentence where no service is at `url`. Raises ServerFailed."""
    try:
        yield
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ServerFailed(f"No service can be reached at {url} ({error}). Start one with: dsm serve") from error


def _serve(port: int) -> int:
    with LocalServer(port=port, say=say) as server:
        assert server.process is not None
        say(f"serving on {server.url} (log: {server.log}); Ctrl-C stops it")
        status = server.process.wait()
        if status:
            server.keep_log = True
            say(f"The server ended by itself with status {status}. Its log: {server.log}")
        return status
