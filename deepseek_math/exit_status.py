"""How a command ends: its exit status, and a sentence where something was in its way."""

import sys
from collections.abc import Callable

from deepseek_math.errors import ServiceError
from deepseek_math.signals import run_until_stopped

FAILED = 1
FAULTS: tuple[type[Exception], ...] = (ServiceError, OSError)


def exit_status(
    command: Callable[[], int | None],
    stopped: str = "stopped",
    faults: tuple[type[Exception], ...] = FAULTS,
    prefix: str = "",
) -> int:
    """Runs `command` and returns its exit status, 0 for None; FAILED, after a sentence on stderr that begins with
    `prefix`, where it raised one of `faults`; 128 + the number of the signal that stopped it, after `stopped`."""

    def run() -> int | None:
        try:
            return command()
        except faults as error:
            print(f"{prefix}{error}", file=sys.stderr, flush=True)
            return FAILED

    return run_until_stopped(run, stopped)
