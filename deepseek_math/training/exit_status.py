"""How a training command ends."""

import sys
from collections.abc import Callable

from deepseek_math.errors import ServiceError


def exit_status(work: Callable[[], object]) -> int:
    """Runs `work` and returns 0, or 1 after one sentence on stderr where it raised ServiceError or OSError."""
    try:
        work()
    except (ServiceError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
