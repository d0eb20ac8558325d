"""A program in a pseudo-terminal, as a person has it: keys go in, and what the screen is sent comes out."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType

from deepseek_math.paths import ROOT

SECONDS = 60.0  # that anything may take, on a machine that is busy
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")
CTRL_C, CTRL_D, UP, ENTER = "\x03", "\x04", "\x1b[A", "\r"
# The terminal becomes the one that controls the process, so that its Ctrl-C is a signal.
START = (
    "import fcntl, runpy, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "runpy.run_module('deepseek_math', run_name='__main__', alter_sys=True)"
)
PASTE = "\x1b[200~{}\x1b[201~"  # a terminal marks what is pasted


class PseudoTerminal:
    """Runs `dsm` with these arguments: `with PseudoTerminal(["chat"]) as terminal: terminal.press("2+3?")`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *arguments],
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # NOTE: prompt_toolkit asks a terminal where its cursor is, and this one can't answer.
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **(environment or {})},
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = ""  # what was shown since the last key, and was not waited for
        self.everything = ""

    def press(self, keys: str) -> None:
        self.screen = ""
        os.write(self._ours, keys.encode())

    def wait_for(self, *texts: str) -> None:
        """Reads until these are shown, one after another, since the last key. Raises AssertionError."""
        for text in texts:
            self._read_until(partial(self._shows, text), repr(text))
            self.screen = self.screen.partition(text)[2]

    def wait_for_letters(self, count: int) -> None:
        """Reads until so many were shown since the last key. Raises AssertionError."""
        self._read_until(lambda: len(self.screen) >= count, f"{count} letters")

    def ended(self) -> int:
        """The exit status. What is still shown is read meanwhile."""
        self._read_until(lambda: self.process.poll() is not None, "the end")
        return self.process.returncode

    def _shows(self, text: str) -> bool:
        return text in self.screen

    def _read_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come:\n{self.everything}"
            if select.select([self._ours], [], [], 0.1)[0]:
                self._read()

    def _read(self) -> None:
        try:
            shown = CONTROLS.sub("", os.read(self._ours, 65536).decode(errors="replace"))
        except OSError:  # the program has closed its end
            self.process.wait(SECONDS)
            return
        self.screen += shown
        self.everything += shown

    def __enter__(self) -> "PseudoTerminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(SECONDS)
        os.close(self._ours)
