"""Files and folders that are replaced whole or not at all.

New content is written beside the old, forced to the disk, and then renamed. Whoever opens the name finds the old
content or the new, never a part, also after a kill or a power cut. NOTE: a folder can't be renamed over another, so
for a moment neither has the name; what was there before is then in `<name>.old`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Replaces the file at `path`; text is written as UTF-8. Its folder must exist. Raises OSError."""
    with replacing_file(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Gives a path to write to; what the block wrote there becomes the file at `path`, unless the block fails.

    Several processes may replace the same file at once: each writes a part of its own.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # there only after a failure
    sync(path.parent)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Gives a path at which to make a folder; it becomes `folder`, unless the block fails.

    What a process that was killed has left there is removed first.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        yield part
        rename_folder(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def rename_folder(source: Path, target: Path) -> None:
    """Gives a finished folder its name, once all that is in it is on the disk. An older `target` is replaced."""
    for path in source.rglob("*"):
        if path.is_file() or path.is_dir():
            sync(path)
    sync(source)
    old = target.with_name(f"{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)  # removing it takes a while, in which half of it would bear the name
    source.rename(target)
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Forces a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
