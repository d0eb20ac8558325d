"""vLLM as a child of the service, under its keeper (`keeper.py`), and what it writes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deepseek_math.terminal import clause, printable

KEEPER = Path(__file__).with_name("keeper.py")
KEPT_LINES = 200  # of what it wrote last, to find out why it ended
LONGEST_LINE = 1 << 16  # bytes; what is longer is cut in two
END_SECONDS = 15.0  # for the keeper, which kills what has not ended after 5
LAST_WORDS = 1.0  # seconds for what is still in the pipe once it has ended
LINE_END = re.compile(rb"[\r\n]+")  # a progress bar goes back to the beginning of its line
# An error is what a line says, behind what vLLM's log puts before it; a warning may name one that could come.
FAULT = re.compile(r"^(?:\(.*?pid=\d+\) )?(?:[A-Z]+ \S+ \S+ \[\S+\] )?((?:[\w.]*(?:Error|Exception)|.*: error): .+)")
ELSEWHERE = "root cause"  # in what vLLM's server says once its engine has failed


class Child:
    """A command and all that it starts; nothing of it outlives this process. Use from one event loop.

    `gone` is done once it has ended, with its exit status as a shell has it: 128 and the number of a signal.
    """

    def __init__(self, heard: Callable[[str], None]) -> None:
        """`heard` gets each line that it writes."""
        self._heard = heard
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[int] = self._loop.create_future()

    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._spawn(command, environment)
        stream = asyncio.StreamReader()
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), self._keeper.stdout)
        self._reading = asyncio.create_task(self._read(stream))

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """NOTE: asyncio's own processes are waited for until their pipes close, which an orphan may hold open."""
        self._keeper = subprocess.Popen(
            [sys.executable, str(KEEPER), *command],
            env=environment,
            stdin=subprocess.PIPE,  # never written to: it closes when this process ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # who shoots the service's group leaves the keeper the time to clean up
        )
        self._ended = os.pidfd_open(self._keeper.pid)
        self._loop.add_reader(self._ended, self._end_of_keeper)

    async def end(self) -> None:
        """Returns once nothing of it is left."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        await asyncio.wait([self.gone], timeout=END_SECONDS)
        if not self.gone.done():
            self._kill()
            await asyncio.wait([self.gone])
        await asyncio.wait([self._reading], timeout=LAST_WORDS)
        self._reading.cancel()

    async def reason(self) -> str:
        """Why it ended: its status, or the signal that ended it, and the last error that it wrote, if it wrote one."""
        await asyncio.wait([self._reading], timeout=LAST_WORDS)
        how = _name(self.gone.result())
        faults = [found[1] for found in map(FAULT.search, self._lines) if found]
        telling = [fault for fault in faults if ELSEWHERE not in fault] or faults
        return f"{how}: {clause(telling[-1])}" if telling else how

    async def _read(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while data := await stream.read(LONGEST_LINE):
            *lines, rest = LINE_END.split(rest + data)
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._hear(line)
        self._hear(rest)

    def _hear(self, line: bytes) -> None:
        text = printable(line.decode(errors="replace")).strip()
        if text:
            self._lines.append(text)
            self._heard(text)

    def _end_of_keeper(self) -> None:
        self._loop.remove_reader(self._ended)
        os.close(self._ended)
        self._kill()  # of a keeper that was killed something may be left
        status = self._keeper.wait()
        self.gone.set_result(status if status >= 0 else 128 - status)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._keeper.pid, signal.SIGKILL)


def _name(status: int) -> str:
    """The signal's name where one ended it."""
    with suppress(ValueError):
        return signal.Signals(status - 128).name
    return f"status {status}"
