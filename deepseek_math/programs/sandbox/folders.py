"""The folder of a confined process, inside another one that is shut as soon as the process is in.

So no other process reaches its files by their path, not even one of the same user: `stat` alone would let two
predictions talk. The process itself reaches them by relative paths.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

SHUT, OWNER_ONLY = 0o000, 0o700


def make(parent: Path, uid: int | None) -> Path:
    """A new folder for a process that runs as `uid`, None for this user. Raises OSError."""
    folder = Path(tempfile.mkdtemp(dir=parent), "work")
    try:
        folder.mkdir(OWNER_ONLY)
        if uid is not None:
            os.chown(folder, uid, uid)
    except OSError:
        remove(folder)
        raise
    return folder


def shut(folder: Path) -> None:
    """Nobody enters it by its path from here on. Raises OSError."""
    folder.parent.chmod(SHUT)


def remove(folder: Path) -> None:
    """Removes the folder and the one around it, if they are there still."""
    with suppress(OSError):
        folder.parent.chmod(OWNER_ONLY)
    shutil.rmtree(folder.parent, ignore_errors=True)


def remove_all(parent: Path) -> None:
    """Removes what `make` has made in `parent`, and `parent`."""
    with suppress(OSError):
        for outer in parent.iterdir():
            remove(outer / "work")
    shutil.rmtree(parent, ignore_errors=True)
