"""What was downloaded first: `checkpoints.lock.json` beside the checkpoints' folders, a file that may be committed.

The table's rows of the hub stand on a branch, which moves. The first download of a name is recorded with its commit and
the digest of each file, and every later one is held against it.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepseek_math.checkpoints import file_digests
from deepseek_math.checkpoints.remote_file import RemoteFile
from deepseek_math.checkpoints.table import Address, Checkpoint, Hub
from deepseek_math.errors import ServiceError
from deepseek_math.files import write_whole

NAME = "checkpoints.lock.json"
NAMED = 3  # files that a message names at most


def require_same(checkpoint: Checkpoint, files: Sequence[RemoteFile], folder: Path) -> None:
    """Raises ServiceError where the files that the source lists now are not those that were downloaded first. One
    without a published digest is held against it once it is here: `record`."""
    recorded = _read(folder).get(checkpoint.name)
    if recorded is None:
        return
    unknown = {file.path for file in files if not file.has_digest}
    first = {path: digest for path, digest in recorded["files"].items() if path not in unknown}
    listed = {file.path: _digest(file) for file in files if file.has_digest}
    _require(checkpoint, first, listed, folder)


def record(
    checkpoint: Checkpoint, commit: str, files: Sequence[RemoteFile], partial: Path, folder: Path, accept: bool
) -> None:
    """Notes a download that is complete in `partial`; for a name that has its entry, compares unless told to
    `accept`. Raises ServiceError."""
    digests = {file.path: _digest(file, partial / file.path) for file in files}
    entry: dict[str, Any] = {"commit": commit, "files": digests}
    match checkpoint.source:
        case Hub(repository=repository, revision=revision):
            entry = {"from": f"{repository}@{revision}"} | entry
        case Address():  # it may hold a key
            entry.pop("commit")
    with _alone(folder):
        entries = _read(folder)
        recorded = entries.get(checkpoint.name)
        if recorded is None or accept:
            entries[checkpoint.name] = entry
            write_whole(folder / NAME, json.dumps(entries, indent=1, sort_keys=True) + "\n")
            return
    _require(checkpoint, recorded["files"], digests, folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: two checkpoints may be downloaded at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _digest(file: RemoteFile, path: Path | None = None) -> str:
    """The published one, else that of the content at `path`."""
    if file.sha256:
        return f"sha256:{file.sha256}"
    if file.git:
        return f"git:{file.git}"
    assert path is not None
    return f"sha256:{file_digests.sha256(path)}"


def _require(checkpoint: Checkpoint, first: Mapping[str, str], now: Mapping[str, str], folder: Path) -> None:
    """Raises ServiceError where two lists of digests differ. Another commit may have the same files."""
    others = sorted(path for path in {*first, *now} if first.get(path) != now.get(path))
    if not others:
        return
    more = " ..." if len(others) > NAMED else ""
    how = "If you trust it, remove its entry there and start again."
    if checkpoint.in_table:
        how = f"If you trust it: dsm fetch {checkpoint.name} --accept"
    raise ServiceError(
        "checkpoint_changed",
        f"{checkpoint.name} is another one than was downloaded first: {', '.join(others[:NAMED])}{more} differ from "
        f"{folder / NAME}. {how}",
    )


def _read(folder: Path) -> dict[str, Any]:
    """All entries by name. Raises ServiceError for a damaged file."""
    file = folder / NAME
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        for entry in entries.values():
            dict(entry["files"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServiceError(
            "checkpoint_unusable", f"{file} can't be read ({error}). Take it from its last commit, or remove it."
        ) from error
    return dict(entries)
