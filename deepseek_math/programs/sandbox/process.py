"""One confined process as the service sees it: what it prints, what it answers, and how it ended."""

import asyncio
import contextlib
import errno
import io
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepseek_math.programs.sandbox.limits import DEMOTE, Limits

TICK = 0.1  # seconds between two looks at a program's folder
ANSWER_BYTES = 1 << 17  # of the line that says how a program ended; longer ones are not from us
PIPE_BYTES = 1 << 20  # no pipe here holds more (16 pages of at most 64 KiB), so one reading empties it
REASON_SECONDS = 2.0  # to hear from the kernel why a process has ended


def ended(why: str) -> str:
    """What the model is told: under 100 characters, so that no cut falls into it."""
    return f"The program was ended: {why}. Its variables are gone."


# What a machine may lack now and have a moment later; any other refusal by the kernel is for good.
PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EINTR}
BROKEN = ended("it broke the line that programs come by")


def timed_out(why: str) -> str:
    """It begins with the words of the published scripts."""
    return f"Timeout Error: the program {why}. Its variables are gone."


class NotIsolatedError(OSError):
    """This machine can't isolate a program, and will not if it is asked again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `error` is for the model: a traceback or a sentence; what was printed then counts less."""

    printed: str
    error: str | None
    seconds: float  # wall time of the program
    killed: bool = False  # its variables are gone


class Process:
    """A sandbox's process. `pid` and `exited` come from the zygote."""

    def __init__(self, folder: Path, signal_it: Callable[[int, int], None], limits: Limits) -> None:
        self.folder = folder
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()  # as Popen.returncode
        self._signal_it = signal_it
        self._limits = limits
        self._printed = bytearray()
        self._flooded = asyncio.Event()
        self._stopped = False
        self._demoted = False
        self._broken = False  # it wrote what is no answer where answers are written
        self._answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()  # None: there will be no more
        self._line = bytearray()
        self._readers: dict[int, Callable[[bytes], None]] = {}
        self._pipe: io.FileIO | None = None  # that programs are written to, by way of `_commands`
        self._commands: asyncio.WriteTransport | None = None

    def connect(self) -> tuple[int, int, int]:
        """Opens its three pipes and returns its ends of them, which are the caller's to close. Raises OSError."""
        with contextlib.ExitStack() as opened:
            pipes = []
            for _ in range(3):
                pipes.append(os.pipe())
                for descriptor in pipes[-1]:
                    opened.callback(os.close, descriptor)
            opened.pop_all()
        (commands_in, commands), (results, results_out), (printed, printed_out) = pipes
        self._pipe = os.fdopen(commands, "wb", 0)
        self._readers = {results: self._heard, printed: self._prints}
        for descriptor in self._readers:
            os.set_blocking(descriptor, False)
            asyncio.get_running_loop().add_reader(descriptor, self._read, descriptor)
        return commands_in, results_out, printed_out

    async def ready(self) -> None:
        """Waits until it is confined. Raises OSError where it could not be, NotIsolatedError where it can't be."""
        loop = asyncio.get_running_loop()
        self._commands, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._pipe)
        answer = await self._answers.get()
        if answer is None:
            raise OSError(f"the process could not be confined. {await self._why()}")
        if answer.get("ready") is not True:
            raise (OSError if answer.get("errno") in PASSING else NotIsolatedError)(str(answer.get("fault", answer)))
        try:
            await asyncio.shield(self.pid)  # who leaves does not take it from the zygote's hands
        except asyncio.CancelledError:
            if self.pid.cancelled():
                raise OSError("the process that starts sandboxes has ended") from None
            raise

    @property
    def alive(self) -> bool:
        """Whether it can still take a program, as far as we have heard."""
        return not self.exited.done() and self._heard in self._readers.values()

    async def run(self, code: str, seed: int | None) -> tuple[str, str | None, bool]:
        """Runs a program: what it printed, what went wrong, and whether that was its end. See `Sandbox.run`."""
        assert self._commands is not None
        self._printed.clear()
        if self._stopped:
            self.signal(signal.SIGCONT)
            self._stopped = False
        self._commands.write(json.dumps({"code": code} | ({} if seed is None else {"seed": seed})).encode() + b"\n")
        answer, fault = await self._ended()
        if fault is None and (answer is None or self._broken):
            fault = await self._why()
        if fault is not None:
            return "", fault, True
        self.signal(signal.SIGSTOP)  # nothing of it runs on between two programs
        self._stopped = True
        assert answer is not None
        error = answer.get("error")
        if error is not None:
            error = error.encode(errors="backslashreplace").decode()  # half a UTF-16 pair is no text
        return self._printed.decode(errors="replace"), error, False

    async def _ended(self) -> tuple[dict[str, Any] | None, str | None]:
        """The process's own answer, None if it died, or the limit that it went over."""
        loop = asyncio.get_running_loop()
        started, waited = loop.time(), self._waited()
        answer = asyncio.ensure_future(self._answers.get())
        flooded = asyncio.ensure_future(self._flooded.wait())
        try:
            while True:
                if fault := await asyncio.to_thread(self._overfull):
                    return None, fault
                # What was printed before the answer lay in its pipe before, and one look at the pipes has read both.
                if self._flooded.is_set():
                    return None, ended(f"it printed more than {self._limits.output_bytes >> 10} KiB")
                if answer.done():
                    return answer.result(), None
                self._demote()
                patience = min(self._waited() - waited, self._limits.patience_seconds)
                left = started + self._limits.wall_seconds + patience - loop.time()
                if left <= 0:
                    return None, timed_out(f"ran for more than {self._limits.wall_seconds:g} s")
                await asyncio.wait({answer, flooded}, timeout=min(TICK, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answer.cancel()
            flooded.cancel()

    def _demote(self) -> None:
        """Whoever computes for long stands back for good: at its first priority it would stall the engine's threads."""
        with contextlib.suppress(OSError, asyncio.InvalidStateError):  # it has ended, or has no number yet
            clock = ~self.pid.result() << 3 | 2  # of a process's time; as libc's clock_getcpuclockid counts it
            if not self._demoted and time.clock_gettime(clock) > self._limits.prompt_seconds:
                self.signal(DEMOTE)
                self._demoted = True

    def _waited(self) -> float:
        """Seconds that it was ready to run in while others had the cores; 0 where the kernel does not say."""
        try:
            return int(Path(f"/proc/{self.pid.result()}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError, asyncio.InvalidStateError):
            return 0.0

    def _overfull(self) -> str | None:
        count = size = 0
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                if count > self._limits.folder_files:
                    return ended(f"it made more than {self._limits.folder_files} files")
        if size > self._limits.folder_bytes:
            return ended(f"its files took more than {self._limits.folder_bytes >> 20} MiB")
        return None

    async def _why(self) -> str:
        """Why there is no answer; a process that has ended by itself says so by its status."""
        if self._broken:
            return BROKEN
        status = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REASON_SECONDS):
                status = await asyncio.shield(self.exited)
        if status == -signal.SIGXCPU:
            return timed_out(f"used more than {self._limits.cpu_seconds} s of processor time")
        if status == -signal.SIGKILL:
            return ended("the kernel killed it (processor time or memory)")
        if status is not None and status < 0:
            return ended(f"{signal.Signals(-status).name} met it")
        return ended("it left its process") if status is not None else BROKEN

    def signal(self, number: int) -> None:
        """Sent once the process has a number, if it is not gone by then."""
        if not self.pid.done():
            self.pid.add_done_callback(lambda pid: self.signal(number))
        elif not self.pid.cancelled() and not self.exited.done():
            self._signal_it(self.pid.result(), number)

    def kill(self) -> None:
        """Ends it at once, whatever it does; its folder goes once it can write no more."""
        self.signal(signal.SIGKILL)
        for descriptor in list(self._readers):
            self._close(descriptor)
        if self._commands is not None and not self._commands.is_closing():
            self._commands.abort()
        elif self._commands is None and self._pipe is not None:
            self._pipe.close()
        self.exited.add_done_callback(self._clear)

    def _clear(self, exited: object) -> None:
        """NOTE: done while it lives, a file that it opens meanwhile would stay."""
        loop = self.exited.get_loop()
        loop.run_in_executor(None, lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, PIPE_BYTES)
        except BlockingIOError:
            return
        take = self._readers[descriptor]
        if data:
            take(data)
            return
        self._close(descriptor)
        if take == self._heard:
            self._answers.put_nowait(None)

    def _prints(self, data: bytes) -> None:
        if len(self._printed) + len(data) > self._limits.output_bytes:
            self._flooded.set()
        else:
            self._printed += data

    def _heard(self, data: bytes) -> None:
        """A program can write here too: the first line that is no answer, or an answer while one is unread, is the last
        that is read, and ends it."""
        self._line += data
        *lines, self._line = self._line.split(b"\n")
        for line in [b""] if len(self._line) > ANSWER_BYTES else lines:
            answer = _answer(line) if self._answers.empty() else None
            self._answers.put_nowait(answer)
            if answer is None:
                self._broken = True
                for descriptor in [each for each, take in self._readers.items() if take == self._heard]:
                    self._close(descriptor)
                return

    def _close(self, descriptor: int) -> None:
        if self._readers.pop(descriptor, None) is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)


def _answer(line: bytes | bytearray) -> dict[str, Any] | None:
    """The object in a line, None where it is none of ours."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("error"), str | None) else None
