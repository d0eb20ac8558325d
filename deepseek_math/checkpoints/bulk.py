"""A large file by hf_transfer, for those who set HF_HUB_ENABLE_HF_TRANSFER=1, the variable it is known by.

It is not the default, since `ranges.py` is faster: 1.1 times curl against 1.0 from memory to memory, 1.2 against 0.3 to
a disk (`python -m deepseek_math.bench.download`).

What version 0.1.9 does, read in its source and seen, and what follows from it here:
- It holds Python's lock for the whole download, and has no time limit: it runs in a process of its own.
- It fetches whole files only, and removes the file when anything fails: a second name keeps what has arrived.
- It takes any answer as long as the status is no error, a short one too: only a file with a known digest is given to
  it, and what it leaves is looked at for holes. It writes each chunk once it has all of it, from its start to its end,
  so a unit without a hole at its end is whole.
- It waits for no Retry-After: at its first fault `ranges.py` takes over.
"""

import os
import selectors
import subprocess
import sys
from pathlib import Path

from deepseek_math.checkpoints import remote_file
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.ranges import CONNECTIONS, Journal
from deepseek_math.checkpoints.remote_file import RemoteFile

WORTH_IT = 64 << 20  # bytes: below, its process costs more than it gains
PAGE = 4096
CHUNK = 4 << 20  # faster than 8 or 16, and a kill loses less
WORKER = Path(__file__).with_name("bulk_worker.py")


def wanted() -> bool:
    return os.environ.get("HF_HUB_ENABLE_HF_TRANSFER", "").lower() in {"1", "on", "true", "yes"}


def carry(file: RemoteFile, part: Path, journal: Journal, progress: Progress) -> None:
    """Lets hf_transfer fetch `file` if nothing of it is there; marks in the journal what has arrived.

    Never raises for a fault of the server: what is missing afterwards is for `ranges.py`.
    """
    second = _second_name(part)
    if not part.exists() and file.size >= WORTH_IT and _prepare(part, second, file.size):
        told = _run(file, second, progress)
        recover(part, journal)
        progress.add(journal.bytes() - told)


def recover(part: Path, journal: Journal) -> None:
    """Marks what hf_transfer has brought, now or before a process was ended while it was at work."""
    second = _second_name(part)
    if second.exists():
        with part.open("rb") as file:
            for unit in range(journal.units):
                last = journal.span(unit)[1] - 1
                if not journal.done[unit] and _is_data(file.fileno(), last - last % PAGE):
                    journal.mark(unit)
        second.unlink()


def _second_name(part: Path) -> Path:
    return part.with_name(part.name + ".hf")


def _prepare(part: Path, second: Path, size: int) -> bool:
    """An empty file of the right length with two names, on a disk that tells holes from zeros."""
    with part.open("wb") as target:
        target.truncate(size)
        try:
            os.lseek(target.fileno(), 0, os.SEEK_DATA)
        except OSError:  # ENXIO: no data yet, as it should say
            pass
        else:
            return False
    try:
        second.hardlink_to(part)
    except OSError:
        return False
    return True


def _run(file: RemoteFile, path: Path, progress: Progress) -> int:
    """Returns how many bytes it has told of; the last chunk counts as a whole one."""
    told = 0
    command = [sys.executable, str(WORKER), file.url, str(path), str(CONNECTIONS), str(CHUNK)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                while selector.select(remote_file.SILENCE):
                    counts = os.read(process.stdout.fileno(), 1 << 16)
                    if not counts:
                        break
                    told += len(counts) * CHUNK
                    progress.add(len(counts) * CHUNK)
                else:
                    progress.note(f"hf_transfer has been silent for {remote_file.SILENCE:g} s: going on without it")
        finally:
            process.kill()
        reason = process.stderr.read().decode("utf-8", "replace").strip()
        if reason:
            progress.note(f"hf_transfer gave up ({reason.splitlines()[-1][:200]}): going on without it")
    return told


def _is_data(file: int, position: int) -> bool:
    try:
        return os.lseek(file, position, os.SEEK_DATA) == position
    except OSError:
        return False
