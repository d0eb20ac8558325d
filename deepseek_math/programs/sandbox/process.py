"""One confined process as the service sees it: it takes programs, is watched while one runs, and is ended."""

import asyncio
import contextlib
import errno
import io
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepseek_math.programs.sandbox import folders, usage
from deepseek_math.programs.sandbox.limits import DEMOTE, Limits
from deepseek_math.programs.sandbox.outcome import Exit, Outcome, ended, explained, timed_out, used_up
from deepseek_math.programs.sandbox.pipes import Answers, Printed

TICK = 0.1  # seconds between two looks at what a program uses
REASON_SECONDS = 2.0  # to hear from the kernel why a process has ended

# What a machine may lack now and have a moment later; any other refusal by the kernel is for good.
PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EINTR}


class NotIsolatedError(OSError):
    """This machine can't isolate a program, and will not if it is asked again."""


class Process:
    """A sandbox's process. `pid` and `exited` come from the zygote."""

    def __init__(self, folder: Path, signal_it: Callable[[int, int], None], limits: Limits) -> None:
        self.folder = folder
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.exited: asyncio.Future[Exit | None] = asyncio.get_running_loop().create_future()
        self.stopped = False  # between two programs
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # it is reached by its path no longer
        self._signal_it = signal_it
        self._limits = limits
        self._demoted = False
        self._at_start = usage.Memory()  # when no program had run
        self._cpu_seconds = 0.0  # at the last look
        self._pipe: io.FileIO | None = None  # that programs are written to, by way of `_commands`
        self._commands: asyncio.WriteTransport | None = None
        self._answers: Answers | None = None
        self._printed: Printed | None = None

    def connect(self) -> tuple[int, int, int]:
        """Opens its three pipes and returns its ends of them, which are the caller's to close. Raises OSError."""
        with contextlib.ExitStack() as opened:
            pipes = []
            for _ in range(3):
                pipes.append(os.pipe())
                for descriptor in pipes[-1]:
                    opened.callback(os.close, descriptor)
            opened.pop_all()
        (commands_in, commands), (answers, answers_out), (printed, printed_out) = pipes
        self._pipe = os.fdopen(commands, "wb", 0)
        self._answers = Answers(answers)
        self._printed = Printed(printed, self._limits.output_bytes)
        return commands_in, answers_out, printed_out

    async def ready(self) -> None:
        """Waits until it is confined. Raises OSError where it could not be, NotIsolatedError where it can't be."""
        assert self._answers is not None
        loop = asyncio.get_running_loop()
        self._commands, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._pipe)
        answer = await self._answers.next()
        if answer is None:
            raise OSError(f"the process could not be confined. {await self._why()}")
        if answer.get("ready") is not True:
            raise (OSError if answer.get("errno") in PASSING else NotIsolatedError)(str(answer.get("fault", answer)))
        try:
            pid = await asyncio.shield(self.pid)  # who leaves does not take it from the zygote's hands
        except asyncio.CancelledError:
            if self.pid.cancelled():
                raise OSError("the process that starts sandboxes has ended") from None
            raise
        self._at_start = usage.memory(pid)

    @property
    def alive(self) -> bool:
        """Whether it can still take a program, as far as we have heard."""
        return not self.exited.done() and self._answers is not None and not self._answers.closed

    @property
    def memory_held(self) -> int:
        """Bytes that it holds and does not share with the zygote."""
        return usage.memory(self.pid.result()).since(self._at_start)

    async def run(
        self,
        code: str,
        seed: int | None = None,
        cpu_seconds_before: float = 0.0,
        watch: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Runs a program to its end or to a limit. After one that is `killed`, call `kill`.

        `cpu_seconds_before` is what other processes of the same prediction have used. `watch` is called at every look.
        """
        assert self._commands is not None
        assert self._printed is not None
        started = time.perf_counter()
        self._printed.begin()
        self._go_on()
        command = {"code": code} if seed is None else {"code": code, "seed": seed}
        self._commands.write(json.dumps(command).encode() + b"\n")
        answer, error = await self._watched(cpu_seconds_before, watch)
        killed = answer is None
        if answer is not None:
            self._stop()
            error = _text(answer.get("error"))
        printed = "" if killed else self._printed.text()
        return Outcome(printed, error, time.perf_counter() - started, killed)

    def _go_on(self) -> None:
        if self.stopped:
            self.signal(signal.SIGCONT)
        self.stopped = False

    def _stop(self) -> None:
        """Nothing of it runs on between two programs."""
        self.signal(signal.SIGSTOP)
        self.stopped = True

    async def _watched(
        self, cpu_seconds_before: float, watch: Callable[[], None]
    ) -> tuple[dict[str, Any] | None, str | None]:
        """The process's own answer, or why it is ended."""
        assert self._answers is not None
        assert self._printed is not None
        deadline = _Deadline(self.pid.result(), self._limits)
        answer = asyncio.ensure_future(self._answers.next())
        flooded = asyncio.ensure_future(self._printed.flooded.wait())
        try:
            while True:
                over = await asyncio.to_thread(self._over_a_limit, cpu_seconds_before)
                watch()
                if answer.done():
                    self._printed.read()  # what was printed before the answer lies in its pipe by now
                if self._printed.flooded.is_set():
                    return None, ended(f"it printed more than {self._limits.output_bytes >> 10} KiB")
                if over is not None:
                    return None, over
                if answer.done():
                    if answer.result() is None or self._answers.broken:
                        return None, await self._why()
                    return answer.result(), None
                left = deadline.seconds_left()
                if left <= 0:
                    return None, timed_out(f"ran for more than {self._limits.wall_seconds:g} s")
                await asyncio.wait({answer, flooded}, timeout=min(TICK, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answer.cancel()
            flooded.cancel()

    def _over_a_limit(self, cpu_seconds_before: float) -> str | None:
        """What the model is told if a limit that the kernel does not keep is passed."""
        pid, limits = self.pid.result(), self._limits
        used = usage.files(self._folder, limits.folder_files)
        if used.count > limits.folder_files:
            return ended(f"it made more than {limits.folder_files} files")
        if used.bytes > limits.folder_bytes:
            return ended(f"its files took more than {limits.folder_bytes >> 20} MiB")
        if usage.memory(pid).total > limits.memory_bytes:
            return ended(f"it held more than {limits.memory_bytes >> 20} MiB of memory")
        self._cpu_seconds = max(self._cpu_seconds, usage.cpu_seconds(pid))
        if cpu_seconds_before + self._cpu_seconds > limits.cpu_seconds:
            return used_up(limits.cpu_seconds)
        if not self._demoted and cpu_seconds_before + self._cpu_seconds > limits.prompt_seconds:
            self._demoted = True
            self.pid.get_loop().call_soon_threadsafe(self.signal, DEMOTE)
        return None

    async def _why(self) -> str:
        """Why there is no answer; a process that has ended by itself says so by its status."""
        assert self._answers is not None
        exit = None if self._answers.broken else await self.end()
        return explained(exit, self._limits.cpu_seconds)

    async def end(self) -> Exit | None:
        """How it ended, once that is known; None if it is not within a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REASON_SECONDS):
                return await asyncio.shield(self.exited)
        return None

    async def cpu_seconds(self) -> float:
        """Processor time of a process that was killed."""
        exit = await self.end()
        return self._cpu_seconds if exit is None else exit.cpu_seconds

    def signal(self, number: int) -> None:
        """Sent once the process has a number, if it is not gone by then."""
        if not self.pid.done():
            self.pid.add_done_callback(lambda pid: self.signal(number))
        elif not self.pid.cancelled() and not self.exited.done():
            self._signal_it(self.pid.result(), number)

    def kill(self) -> None:
        """Ends it at once, whatever it does; its folder goes once it can write no more."""
        self.signal(signal.SIGKILL)
        for pipe in (self._answers, self._printed):
            if pipe is not None:
                pipe.close()
        if self._commands is not None and not self._commands.is_closing():
            self._commands.abort()
        elif self._commands is None and self._pipe is not None:
            self._pipe.close()
        self.exited.add_done_callback(self._clear)

    def _clear(self, exited: object) -> None:
        """NOTE: done while it lives, a file that it opens meanwhile would stay."""
        descriptor, self._folder = self._folder, -1
        if descriptor >= 0:
            os.close(descriptor)
            self.exited.get_loop().run_in_executor(None, folders.remove, self.folder)


class _Deadline:
    """The end of a program's wall time, which stretches by the time in which others had the cores."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self._pid = pid
        self._limits = limits
        self._started = time.monotonic()
        self._waited = usage.seconds_waited(pid)

    def seconds_left(self) -> float:
        waited = usage.seconds_waited(self._pid) - self._waited
        patience = min(waited, self._limits.patience_seconds)
        return self._started + self._limits.wall_seconds + patience - time.monotonic()


def _text(error: str | None) -> str | None:
    """NOTE: half a UTF-16 pair, which JSON can carry, is not text."""
    return None if error is None else error.encode(errors="backslashreplace").decode()
