"""Who uses a checkpoint's folder, and when it was used last: a hidden file in it, locked as long as a service runs.

The system releases the lock of a process that ends, however it does.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from deepseek_math.errors import ServiceError

MARK = ".used"  # its time is that of the last use
_held: list[int] = []  # descriptors of this process, open until it ends


def hold(folder: Path) -> None:
    """Notes a use, and keeps the folder from being removed while this process lives. Nothing is noted where the folder
    can't be written to."""
    with suppress(OSError):
        descriptor = os.open(folder / MARK, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(descriptor)
        _held.append(descriptor)


def last_use(folder: Path) -> datetime | None:
    """In local time; None where no use was noted."""
    mark = folder / MARK
    return datetime.fromtimestamp(mark.stat().st_mtime) if mark.exists() else None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps others from beginning to use the folder. Raises ServiceError where some process uses it."""
    descriptor = os.open(folder / MARK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError(
                "checkpoint_in_use", f"A service that runs uses {folder}. Stop it, then remove the checkpoint."
            ) from error
        yield
    finally:
        os.close(descriptor)
