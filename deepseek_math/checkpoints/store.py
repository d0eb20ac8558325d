"""Where checkpoints are kept: `weights/<name>` is complete, or it does not exist.

One process at a time downloads a checkpoint (`checkpoint_download.py`), under `weights/<name>.lock`.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from deepseek_math.checkpoints import checkpoint_folder, file_digests, in_use
from deepseek_math.checkpoints.checkpoint_download import (
    Accept,
    accept_all,
    download_checkpoint,
    partial_folder,
    source_module,
)
from deepseek_math.checkpoints.download_faults import DISK_FULL
from deepseek_math.checkpoints.table import TINY, Address, Checkpoint, Hub, Local, Wheel
from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT

WEIGHTS = Path(os.environ.get("WEIGHTS_FOLDER") or ROOT / "weights").resolve()
LOCK_REPORT_SECONDS = 30.0  # between two lines that say that another process has the lock
TOKENIZER = ("config.json", "tokenizer.json")

Report = Callable[[str], None]


def fetch(
    checkpoint: Checkpoint, report: Report = print, accept: Accept = accept_all, accept_changes: bool = False
) -> Path:
    """The path of the checkpoint's file or folder; downloads it to `weights/<name>/` first where it does not exist.

    `report` gets a line for each step of a download. A complete checkpoint needs no network. `accept` is asked about
    the names of the files before the first byte, and before the network where they are known. `accept_changes` takes
    files that are not those of the first download. Raises ServiceError.
    """
    source = checkpoint.source
    if isinstance(source, Local):
        return checkpoint_folder.local_path(source.path)
    folder = WEIGHTS / checkpoint.name
    if folder.exists():
        notes = checkpoint_folder.require_complete(folder)
        _require_same_digest(source, folder, notes)
        report(f"{checkpoint.name} is complete in {folder}: no download")
        shutil.rmtree(partial_folder(folder), ignore_errors=True)  # of a process that was killed right at its end
        return checkpoint_folder.loadable(folder)
    accept(checkpoint.known_files)
    with _disk_errors_explained(checkpoint.name):
        WEIGHTS.mkdir(parents=True, exist_ok=True)
        with _lock(folder, report):
            if not folder.exists():  # the process that had the lock before may have made it
                download_checkpoint(checkpoint, folder, report, accept, accept_changes)
    return checkpoint_folder.loadable(folder)


def fetch_tokenizer(checkpoint: Checkpoint, report: Report = print) -> Path:
    """The path of what a remote engine needs of the checkpoint: its tokenizer and context. No weights are downloaded
    where the hub has the tokenizer as a file of its own; otherwise as `fetch`."""
    source = checkpoint.tokenizer or checkpoint.source
    if not isinstance(source, Hub) or (WEIGHTS / checkpoint.name).exists():
        return fetch(checkpoint, report)
    tokenizer = replace(
        checkpoint, name=f"{checkpoint.name}-tokenizer", source=replace(source, tokenizer=True), gigabytes=None
    )
    if not (WEIGHTS / tokenizer.name).exists():
        _, files = source_module(source).list_files(tokenizer.source, report)
        if not set(TOKENIZER) <= {file.path for file in files}:  # it is part of the weights
            return fetch(checkpoint, report)
    return fetch(tokenizer, report)


def hold(path: Path) -> None:
    """Notes that this process uses what an engine loads from `path`, and keeps it from being removed meanwhile."""
    if path.is_relative_to(WEIGHTS) and not path.is_relative_to(TINY):
        in_use.hold(WEIGHTS / path.relative_to(WEIGHTS).parts[0])


def download_lock(folder: Path) -> Path:
    """The file that a process has locked while it downloads the checkpoint."""
    return folder.with_name(folder.name + ".lock")


@contextmanager
def _lock(folder: Path, report: Report) -> Iterator[None]:
    """One process at a time. The system releases the lock of a process that is killed."""
    path = download_lock(folder)
    lock = FileLock(path)
    timeout = 0.0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            report(f"another process is downloading {folder.name}: waiting for it")
            timeout = LOCK_REPORT_SECONDS
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # those who wait for this file notice, and make another
        lock.release()


@contextmanager
def _disk_errors_explained(name: str) -> Iterator[None]:
    """Turns an OSError of the disk into a ServiceError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise ServiceError(
                "disk_full",
                f"The disk is full, and {name} is not complete. What has been downloaded is kept: free some space and "
                "start again, which tells how much is missing.",
            ) from error
        raise ServiceError("download_failed", f"{name} can't be stored in {WEIGHTS}: {error}.") from error


def _require_same_digest(source: Hub | Address | Wheel, folder: Path, notes: dict[str, Any]) -> None:
    """Raises ServiceError where the address names another digest than the downloaded file has."""
    if not isinstance(source, Address) or source.sha256 is None:
        return
    recorded = notes.get("sha256")
    file = folder / source.file
    if recorded is None and file.exists():
        recorded = file_digests.sha256(file)
    if recorded != source.sha256:
        raise ServiceError(
            "checkpoint_damaged",
            f"{folder} was made from a {source.file} with the sha256 {recorded or 'unknown'}, and the address asks for "
            f"{source.sha256}. Remove the folder to download it again.",
        )
