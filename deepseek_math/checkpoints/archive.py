"""A tar with a checkpoint's folder inside, unpacked.

An archive is a stranger's file, and Python's own filter for such (`tarfile.data_filter`) does not hold before 3.11.13:
chains of links lead out of the folder (CVE-2025-4517 and its family). So no link is ever made. What is taken: plain
files, folders, and links to plain files of the same archive, which become a second name of the file. The hub's own
cache is of that shape: `snapshots/<revision>/config.json` is a link to `../../blobs/<digest>`.
"""

import bz2
import gzip
import io
import lzma
import os
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from deepseek_math.checkpoints.download_faults import DISK_FULL
from deepseek_math.checkpoints.remote_file import format_bytes
from deepseek_math.errors import ServiceError

BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError, ValueError)
OPENERS: dict[bytes, Callable[..., Any]] = {  # by a file's first bytes; else it is a tar as it is
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
MOST_MEMBERS = 10_000  # a checkpoint has some dozens
SHOWN = 100  # characters of a name in a message
MOST_DEPTH = 20  # of folders within each other; Python can't remove a thousand
MOST_HEADER_BYTES = 1 << 20  # of one member; those of a long path have some hundreds


class RefusedError(ValueError):
    """What an archive may not hold, in words."""


def unpack(archive: Path, target: Path, most_bytes: int) -> Path:
    """Unpacks up to `most_bytes` into `target`, which is emptied first; the one folder that holds a checkpoint.

    Raises ServiceError("checkpoint_unusable"), and OSError for a full disk.
    """
    shutil.rmtree(target, ignore_errors=True)
    try:
        target.mkdir(parents=True)
        with _Source(archive) as source, tarfile.open(fileobj=source, mode="r:") as tar:
            _Unpacking(target, most_bytes, source).take_all(tar)
    except RefusedError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise ServiceError("checkpoint_unusable", f"{archive.name} is refused: {error}.") from error
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        raise ServiceError(
            "checkpoint_unusable",
            f"{archive.name} can't be unpacked: {str(error) or 'it ends too soon'}. Remove {archive.parent} to "
            "download it again.",
        ) from error
    return _checkpoint_folder(archive, target)


def _checkpoint_folder(archive: Path, target: Path) -> Path:
    folders = set()
    for path in target.rglob("*"):
        if path.name == "config.json" or path.suffix == ".gguf":
            folders.add(path.parent)
    if len(folders) != 1:
        raise ServiceError("checkpoint_unusable", f"{archive.name} holds {len(folders)} checkpoint folders, not 1.")
    return folders.pop()


class _Source(io.BufferedIOBase):
    """The tar, decompressed, as far as it may be read for now.

    `tarfile` reads a member's headers whole, and a few compressed kilobytes can be headers of gigabytes.
    """

    def __init__(self, archive: Path) -> None:
        with archive.open("rb") as file:
            begins = file.read(max(map(len, OPENERS)))
        opener = next((each for magic, each in OPENERS.items() if begins.startswith(magic)), open)
        self._file = opener(archive, "rb")
        self._left = MOST_HEADER_BYTES

    def expect_header(self) -> None:
        self._left = MOST_HEADER_BYTES

    def expect_content(self, size: int) -> None:
        self._left = size

    def read(self, size: int | None = -1) -> bytes:
        """Raises RefusedError."""
        if size is None or not 0 <= size <= self._left:
            raise RefusedError(f"one of its headers has more than {format_bytes(MOST_HEADER_BYTES)}")
        self._left -= size
        data: bytes = self._file.read(size)
        return data

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()


class _Unpacking:
    """One archive on its way to a folder. Paths are relative to it, and normal: no `.`, no `..`."""

    def __init__(self, target: Path, most_bytes: int, source: _Source) -> None:
        self._target = target
        self._source = source
        self._most_bytes = most_bytes
        self._bytes = 0
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._links: dict[str, str] = {}  # the path that each leads to

    def take_all(self, tar: tarfile.TarFile) -> None:
        """Raises RefusedError, and what reading and writing raise."""
        for number, member in enumerate(tar, 1):
            self._take(tar, member)
            if max(number, len(self._files) + len(self._folders) + len(self._links)) > MOST_MEMBERS:
                raise RefusedError(f"it holds more than {MOST_MEMBERS} files and folders")
            self._source.expect_header()
        for path in self._links:
            file = self._file_of(path)
            self._make_folder(posixpath.dirname(path))
            os.link(self._target / file, self._target / path)

    def _file_of(self, link: str) -> str:
        """The file that a link leads to, over other links perhaps."""
        path, passed = link, set()
        while path in self._links:
            if path in passed:
                raise RefusedError(f"{link} in the tar is a link that leads back to itself")
            passed.add(path)
            path = self._links[path]
        if path not in self._files:
            raise RefusedError(f"{link} in the tar is a link to a file that the tar does not hold")
        return path

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _inner_path(member.name, member.name)
        if member.isdir():
            self._make_folder(path)
            return
        if path in self._files or path in self._folders or path in self._links:
            raise RefusedError(f"it holds {path} twice")
        if member.isreg():
            self._write(tar, member, path)
        elif member.issym():
            self._links[path] = _inner_path(posixpath.join(posixpath.dirname(path), member.linkname), path)
        elif member.islnk():
            self._links[path] = _inner_path(member.linkname, path)
        else:
            raise RefusedError(f"{path} in the tar is neither a file nor a folder nor a link")

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        self._bytes += member.size
        if self._bytes > self._most_bytes:
            raise RefusedError(f"it unpacks to more than {format_bytes(self._most_bytes)}")
        self._make_folder(posixpath.dirname(path))
        self._source.expect_content(member.size)
        content = tar.extractfile(member)
        assert content is not None
        with content, (self._target / path).open("xb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        written = (self._target / path).stat().st_size
        if written != member.size:
            raise EOFError(f"{path} has {written} bytes of {member.size}")
        self._files.add(path)

    def _make_folder(self, path: str) -> None:
        """With those around it, none of which may be a file or a link."""
        for folder in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
            name = str(folder)
            if name in self._files or name in self._links:
                raise RefusedError(f"{name} in the tar is a file or a link, and a folder as well")
            self._folders.add(name)
            (self._target / name).mkdir(exist_ok=True)


def _inner_path(path: str, name: str) -> str:
    """`path` without `.` and `..`. Raises RefusedError where it leads out of the archive, or is no name for people."""
    if not path.isprintable():
        raise RefusedError(f"it holds a name with control characters, {path[:SHOWN]!r}")
    normal = posixpath.normpath(path)
    if normal == ".." or normal.startswith(("../", "/")):
        raise RefusedError(f"{name[:SHOWN]} in the tar leads out of its folder")
    if normal.count("/") > MOST_DEPTH:
        raise RefusedError(f"{name[:SHOWN]} in the tar lies in more than {MOST_DEPTH} folders")
    return normal
