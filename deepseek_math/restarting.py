"""How probes hear that the service is bringing its engine back: `dsm health --alive` runs in a process of its own.

/health-check says UNHEALTHY meanwhile, as it must, for no prediction would succeed. A probe that takes a service that
mends itself for a broken one would end the container in the middle of it.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _file() -> Path:
    return Path(tempfile.gettempdir(), "dsm-restarting")


@contextmanager
def announced() -> Iterator[None]:
    """Within the block the engine is being brought back. The kernel takes the lock from a process that ends."""
    descriptor = os.open(_file(), os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def under_way() -> bool:
    """Whether a service of this container is bringing its engine back now."""
    try:
        descriptor = os.open(_file(), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
