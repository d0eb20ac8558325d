"""How a program ended, in the words that the model reads."""

import signal
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `error` is for the model: a traceback or a sentence; what was printed then counts less."""

    printed: str
    error: str | None
    seconds: float  # wall time of the program
    killed: bool = False  # its variables are gone


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process. `status` is its exit status, or less than 0 the signal that ended it."""

    status: int
    cpu_seconds: float  # processor time that it used in all


def ended(why: str) -> str:
    """What the model is told: under 100 characters, so that no cut falls into it."""
    return f"The program was ended: {why}. Its variables are gone."


def timed_out(why: str) -> str:
    """It begins with the words of the published scripts."""
    return f"Timeout Error: the program {why}. Its variables are gone."


BROKEN = ended("it closed or wrote to the service's own pipe")


def explained(exit: Exit | None, cpu_seconds: int) -> str:
    """Why a process is gone. None: it lives, but says nothing more."""
    if exit is None:
        return BROKEN
    if exit.status >= 0:
        return ended("it ended its own process")
    if exit.status == -signal.SIGXCPU:
        return used_up(cpu_seconds)
    if exit.status == -signal.SIGKILL:
        return ended("the kernel killed it (processor time or memory)")
    return ended(f"{_signal_name(-exit.status)} ended it (signal)")


def used_up(cpu_seconds: int) -> str:
    return timed_out(f"used more than {cpu_seconds} s of processor time")


def _signal_name(number: int) -> str:
    with suppress(ValueError):  # most real-time signals have no name
        return signal.Signals(number).name
    return f"signal {number}"
