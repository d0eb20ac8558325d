"""`dsm health`: what /health-check says, as an exit status for the probes of Docker and Kubernetes.

/health-check answers 200 whatever it says, so that a probe has to read the word. Docker starts no container again for
being unhealthy, only one whose process 1 has ended: `--end-after` ends it.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from deepseek_math import restarting

READY = ("READY", "BUSY")
TIMEOUT = 10.0  # seconds; the server asks the service for 5
PROCESS_1 = 1  # of the container: Cog's server, or what was started to wait for it
SERVER = "cog.server.http"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    status = word(options.url)
    print(status)
    well = status in READY or (options.alive and (status == "STARTING" or restarting.under_way()))
    if options.end_after is not None:
        _watch(well, options.end_after)
    return 0 if well else 1


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="dsm health",
        description="Prints what /health-check says. The exit status is 0 where the service takes predictions.",
    )
    options.add_argument(
        "--alive", action="store_true", help="0 while it starts or mends itself, too: for a liveness probe"
    )
    options.add_argument(
        "--end-after",
        type=int,
        metavar="SECONDS",
        help="end process 1 of the container once the service has been unwell for so long",
    )
    options.add_argument("--url", default=f"http://127.0.0.1:{os.environ.get('PORT') or 5000}")
    return options


def word(url: str) -> str:
    """The status at `url`; a sentence where none is to be had."""
    direct = build_opener(ProxyHandler({}))  # the container may have a proxy for its downloads
    try:
        with direct.open(f"{url}/health-check", timeout=TIMEOUT) as answer:
            return str(json.load(answer)["status"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"no answer at {url} ({error})"


def mark() -> Path:
    """The file whose age says how long the service has been unwell. Between two probes nothing else is kept."""
    return Path(tempfile.gettempdir(), "dsm-unwell")


def server_is_process_1() -> bool:
    """Or its child, as `docker run --init` has it. On a machine that is no container process 1 is the machine's own."""
    import psutil

    first = psutil.Process(PROCESS_1)
    return any(SERVER in each.cmdline() for each in (first, *first.children()))


def _watch(well: bool, patience: int) -> None:
    """Ends process 1 once the service has been unwell for `patience` seconds without a break."""
    if well:
        mark().unlink(missing_ok=True)
        return
    with suppress(FileExistsError):
        mark().touch(exist_ok=False)
    unwell = time.time() - mark().stat().st_mtime
    if unwell >= patience and server_is_process_1():
        mark().unlink()  # a container that is started again keeps its files
        print(f"unwell for {unwell:.0f} s: process 1 is told to end", file=sys.stderr)
        os.kill(PROCESS_1, signal.SIGTERM)
