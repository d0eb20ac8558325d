"""How a training command ends when something is wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from deepseek_math.errors import ServiceError


@contextmanager
def plainly() -> Iterator[None]:
    """A command's own faults are a sentence on stderr and status 1."""
    try:
        yield
    except (ServiceError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
