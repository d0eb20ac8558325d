"""Cog's own server on this machine, without Docker: the same process, Predictor and code as in the container."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from deepseek_math.checkpoints.table import ALIASES, CHECKPOINTS
from deepseek_math.cog import schema
from deepseek_math.inputs import CONCURRENCY, INPUTS, InputField
from deepseek_math.local import client
from deepseek_math.local.server_log import ServerLog
from deepseek_math.paths import ROOT

FOLDERS = ("WEIGHTS_FOLDER", "TINY_FOLDER", "PROGRAM_PACKAGES", "VLLM_ENVIRONMENT")  # variables that name a folder
STOP_SECONDS = 5.0  # for predictions at work, once their clients are gone or the server is told to stop


class ServerFailed(Exception):
    """The server ended, or its setup failed; the text holds the end of its log."""


class LocalServer:
    """Runs Cog's server as a child process: `with LocalServer(port=0) as server: ... server.url`.

    `port` 0 takes a free one. `inputs` are those of the Predictor that `reference` names, and `concurrency` is how many
    predictions it takes at once. The server's log goes to `log`, and is removed after a run in which nothing went
    wrong.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        reference: str = schema.REFERENCE,
        inputs: Sequence[InputField] = INPUTS,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        concurrency: int = CONCURRENCY,
        log: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder = folder
        self.reference = reference
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log or folder / ".cog" / f"server-{self.port}.log"
        self._document = schema.document(inputs)
        self._concurrency = concurrency
        self._environment = dict(environment or {})
        self._say = say
        self.keep_log = False
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "LocalServer":
        """Writes the schema, starts the server and returns at once."""
        require_free(self.port, "dsm serve --port 5001")
        schema.write(self._document, self.folder / ".cog" / "openapi_schema.json")
        environment = {
            **os.environ,
            **self._environment,
            # NOTE: coglet starts its worker as `python` from PATH, whatever interpreter runs here.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
            "PYTHONUNBUFFERED": "1",
            **_absolute_paths(os.environ | self._environment),
            "COG_PREDICT_TYPE_STUB": self.reference,
            "COG_MAX_CONCURRENCY": str(self._concurrency),
            "PORT": str(self.port),
        }
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deepseek_math.local.server_process", "cog.server.http", "--host", "127.0.0.1"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,  # never written to: it closes when this process ends, and the server then ends
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the server in order
            )
        return self

    def wait_until_ready(self, timeout: float = math.inf) -> None:
        """Returns when predictions are taken. Raises ServerFailed when setup failed or the process is gone.

        Setup may have a checkpoint to download, so there is no limit unless one is asked for.
        """
        assert self.process is not None
        deadline = time.monotonic() + timeout
        written = ServerLog(self.log)
        while time.monotonic() < deadline:
            status = self.health().get("status")
            for line in written.setup_lines():
                self._say(line)
            if self.process.poll() is not None:
                raise ServerFailed(f"The server ended with status {self.process.returncode}.\n{written.tail()}")
            if status == "READY":
                return
            if status == "SETUP_FAILED":
                raise ServerFailed(f"{written.fault()}\nThe server's log: {self.log}")
            time.sleep(0.1)
        raise ServerFailed(f"The server was not ready after {timeout:g} s.\n{written.tail()}")

    def health(self) -> dict[str, object]:
        """What /health-check says, or nothing while the server does not answer yet."""
        try:
            with client.http(timeout=10.0) as session:
                answer: dict[str, object] = session.get(f"{self.url}/health-check").json()
        except (httpx.HTTPError, ValueError):
            return {}
        return answer

    def stop(self) -> None:
        """Ends the server and whatever it started."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill_group(process.pid)
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def __enter__(self) -> "LocalServer":
        try:
            self.start().wait_until_ready()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if not self.keep_log and (kind is None or kind in (KeyboardInterrupt, SystemExit)):
            self.log.unlink(missing_ok=True)


def _absolute_paths(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that name a file or folder of the caller's; the server runs in another folder."""
    found = {name: environment[name] for name in FOLDERS if environment.get(name)}
    for name in ("CHECKPOINT", "COG_WEIGHTS"):
        value = environment.get(name, "")
        if value not in {*CHECKPOINTS, *ALIASES} and os.path.exists(os.path.expanduser(value)):
            found[name] = value
    return {name: str(Path(value).expanduser().resolve()) for name, value in found.items()}


def require_free(port: int, instead: str) -> None:
    """Raises ServerFailed, which advises the command `instead`, where something else listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ServerFailed(f"Port {port} can't be served on ({error}). Try another: {instead}") from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
