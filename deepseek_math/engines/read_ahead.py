"""Reads a checkpoint's files from the disk while an engine makes ready and converts what it has got so far.

llama.cpp and transformers read a piece, convert it, and read the next: the disk waits for the processor, and the
processor for the disk.
"""

import os
import threading
from pathlib import Path

STEP = 64 << 20  # bytes


def read_ahead(path: Path) -> threading.Thread:
    """Begins to read the file, or the folder's files of weights, into the kernel's cache, in their order."""
    files = [path, *_splits(path)] if path.is_file() else sorted(path.glob("*.safetensors"))
    thread = threading.Thread(target=_read, args=(files,), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _splits(first: Path) -> list[Path]:
    """The other parts of a GGUF file that was split."""
    stem, _, count = first.stem.partition("-00001-of-")
    return sorted(each for each in first.parent.glob(f"{stem}-*-of-{count}.gguf") if each != first) if count else []


def _read(files: list[Path]) -> None:
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    for file in files:
        with file.open("rb") as opened:
            for start in range(0, file.stat().st_size, STEP):
                os.posix_fadvise(opened.fileno(), start, STEP, os.POSIX_FADV_WILLNEED)
