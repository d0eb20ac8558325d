"""Reads a checkpoint's files from the disk while an engine makes ready and converts what it has got so far.

llama.cpp and transformers read a piece, convert it, and read the next: the disk waits for the processor, and the
processor for the disk.
"""

import os
import threading
from pathlib import Path

from deepseek_math.engines.weight_files import weight_files

STEP = 64 << 20  # bytes


def read_ahead(path: Path) -> threading.Thread:
    """Begins to read the files of weights into the kernel's cache, in their order."""
    thread = threading.Thread(target=_read, args=(weight_files(path),), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _read(files: list[Path]) -> None:
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for file in files:
        with file.open("rb") as opened:
            for start in range(0, file.stat().st_size, STEP):
                os.posix_fadvise(opened.fileno(), start, STEP, os.POSIX_FADV_WILLNEED)
