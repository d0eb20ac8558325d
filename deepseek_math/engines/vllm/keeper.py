"""Runs a command, and ends it and everything that it has started as soon as one of three ends: the command itself, the
keeper's standard input, or the keeper's parent.

`python keeper.py vllm serve ...`, with a pipe as standard input: the kernel closes the pipe however the service ends,
kill -9 too. vLLM's engine and its workers are processes of their own, which a vLLM that is killed leaves behind. They
become children of the keeper (PR_SET_CHILD_SUBREAPER), in whatever group or session they are, and it ends them all.
Should the keeper be killed, the kernel kills the command (PR_SET_PDEATHSIG). Linux alone has both.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOOK = 1.0  # seconds between two looks at whether the parent is still there
GRACE = 5.0  # seconds from SIGTERM to SIGKILL: a vLLM that ends by itself takes its shared memory along


def main(command: list[str]) -> int:
    """The command's exit status, as a shell has it: 128 and the signal's number where one has ended it."""
    parent = os.getppid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its input says when to end
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_keeper)  # noqa: PLW1509  # no threads
    ended = os.pidfd_open(child.pid)
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin, ended], [], [], LOOK)
        if readable:
            break
    _end_all(child.pid)
    status = child.wait()
    return status if status >= 0 else 128 - status


def _end_with_keeper() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _end_all(command: int) -> None:
    """Returns once there is no descendant left. The command has a time to end the others in order."""
    patience = time.monotonic() + GRACE
    told: set[psutil.Process] = set()
    while True:
        left = [each for each in psutil.Process().children(recursive=True) if _lives(each)]
        if not left:
            return
        if time.monotonic() > patience:
            for each in left:
                _signal(each, signal.SIGKILL)
        first = [each for each in left if each.pid == command] or left
        for each in set(first) - told:
            _signal(each, signal.SIGTERM)
        told.update(first)
        time.sleep(0.05)  # psutil's own wait would take the command's exit status


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
