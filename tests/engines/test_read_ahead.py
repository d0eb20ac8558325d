"""A checkpoint's files are read from the disk ahead of the engine that loads them."""

import ctypes
import mmap
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from deepseek_math.engines.read_ahead import read_ahead
from deepseek_math.paths import ROOT

SIZE = 8 << 20


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk: /tmp may be memory, where nothing is ever dropped."""
    (ROOT / ".cog").mkdir(exist_ok=True)
    folder = Path(mkdtemp(dir=ROOT / ".cog"))
    yield folder
    shutil.rmtree(folder)


def dropped(path: Path) -> Path:
    """A file that is on the disk, and in the kernel's cache no more."""
    path.write_bytes(os.urandom(SIZE))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert cached(path) < 0.1
    return path


def cached(path: Path) -> float:
    """The share of a file's pages that are in memory, by mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    pages = (ctypes.c_ubyte * (SIZE // mmap.PAGESIZE))()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        anchor = ctypes.c_char.from_buffer(mapped)
        address = ctypes.addressof(anchor)
        assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), pages) == 0
        del anchor  # or the map could not be closed
    return sum(page & 1 for page in pages) / len(pages)


def read(path: Path) -> None:
    read_ahead(path).join()


def test_a_gguf_file_and_its_other_parts_are_read(disk: Path) -> None:
    parts = [dropped(disk / f"rl-0000{number}-of-00002.gguf") for number in (1, 2)]
    other = dropped(disk / "base.gguf")
    read(parts[0])
    wait_until_cached(*parts)
    assert cached(other) < 0.1


def test_a_folder_s_safetensors_are_read(disk: Path) -> None:
    shards = [dropped(disk / f"model-{number}.safetensors") for number in (1, 2)]
    read(disk)
    wait_until_cached(*shards)


def wait_until_cached(*paths: Path) -> None:
    """The kernel reads behind the call. Reading the file would bring it in as well, so it is only looked at."""
    deadline = time.monotonic() + 60
    while min(map(cached, paths)) < 0.9:
        assert time.monotonic() < deadline
        time.sleep(0.01)
