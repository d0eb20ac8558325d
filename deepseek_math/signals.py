"""How a command ends when it is told to stop."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

_ending: list[signal.Signals] = []  # the signal that ends the command, unless that is Ctrl-C's


def is_ending() -> bool:
    """Whether a KeyboardInterrupt is the end of the command, and no Ctrl-C that it may take for itself."""
    return bool(_ending)


def run_until_stopped(command: Callable[[], int | None], message: str) -> int:
    """Runs the command and returns its exit status, 0 for None. Where a signal stops it, prints `message` on stderr
    and returns 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP (a closed terminal).

    All three raise KeyboardInterrupt, as asyncio stops its tasks in order for SIGINT alone: an exception that another
    signal's handler raises could hit any task.
    """
    _ending.clear()

    def interrupt(number: int, frame: FrameType | None) -> None:
        _ending[:] = [signal.Signals(number)]
        signal.raise_signal(signal.SIGINT)

    # A shell starts background jobs with SIGINT ignored, so its handler is set too.
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: interrupt}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup has it ignored: the command outlives its terminal
        handlers[signal.SIGHUP] = interrupt
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return command() or 0
    except KeyboardInterrupt:
        print(f"\n{message}", file=sys.stderr, flush=True)
        return 128 + (_ending or [signal.SIGINT])[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
