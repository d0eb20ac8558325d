"""How a training command ends."""

import sys
from collections.abc import Callable

from deepseek_math.errors import ServiceError
from deepseek_math.signals import run_until_stopped


def exit_status(work: Callable[[], object]) -> int:
    """Runs `work` and returns 0, 1 after one sentence on stderr where it raised ServiceError or OSError, or 128 + the
    number of the signal that stopped it."""

    def run() -> int:
        work()
        return 0

    try:
        return run_until_stopped(run, "stopped")
    except (ServiceError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
